'use strict'
// The page itself: its languages, the keyboard, narrow screens, and the user's own parts.
const assert = require('node:assert/strict')
const { after, before, test } = require('node:test')
const { Playground, launch } = require('./browser')

const URL = process.env.PLAYGROUND_URL
const OWN_PARTS_URL = process.env.OWN_PARTS_URL
const HAN = /\p{Script=Han}/u

let browser

before(async () => {
  browser = await launch()
})
after(() => browser.close())

async function opened({ lang, ...options }, act, url = URL) {
  const playground = await Playground.open(browser, url, options)
  await playground.load({ lang })
  await act(playground, playground.page)
  await playground.close()
  assert.deepEqual(playground.complaints, [])
}

const textOf = (page) => page.locator('body').innerText()

test('the page speaks one language at a time', () =>
  opened({ lang: 'zh' }, async (playground, page) => {
    await playground.tap('request')
    assert.match(await playground.result(), HAN)
    assert.doesNotMatch(await textOf(page), /Log in|Who says what|knows you/)
    await page.click('[data-language=en]')
    assert.equal((await textOf(page)).replace('中文', '').match(HAN), null)
    assert.match(page.url(), /lang=en/)
  }))

test('without a choice it speaks the language of the browser', () =>
  opened({ lang: '', locale: 'zh-CN' }, async (_, page) => {
    assert.equal(await page.locator('html').getAttribute('lang'), 'zh')
    assert.equal(await page.title(), 'wxgate 试验台')
  }))

test('every control has a name', () =>
  opened({}, async (playground, page) => {
    await playground.tap('login')
    await page.click('summary')
    const controls = page.locator('button:visible, input:visible, select:visible')
    const snapshots = await Promise.all((await controls.all()).map((it) => it.ariaSnapshot()))
    assert.ok(snapshots.length > 30)
    for (const snapshot of snapshots) assert.match(snapshot, /^- '?\w+ ".+"/)
  }))

test('a flow with a sheet can be walked by keyboard alone', () =>
  opened({}, async (playground, page) => {
    await page.focus('[data-act=phoneCode]')
    await page.keyboard.press('Enter')
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Escape')
    await page.waitForSelector('[data-phone=phone]:not([data-busy])')
    assert.equal(await playground.result(), 'USER_DENIED')
    await page.keyboard.press('Enter') // the focus is back on its button
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Enter')
    await page.waitForSelector('[data-phone=phone]:not([data-busy])')
    assert.match(await playground.result(), /^Phone number/)
  }))

test('at the width of a phone nothing overflows, with two phones and five lanes', () =>
  opened({ viewport: { width: 375, height: 812 } }, async (playground, page) => {
    await playground.turn('newPhone')
    await playground.tap('request', { phone: 'phone2' })
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 375)
  }))

test('an arrow shows in full what was said', () =>
  opened({}, async (playground, page) => {
    await playground.tap('request')
    await page.click('.message button[data-from=gate][data-to=upstream]')
    const raw = await page.locator('#raw').innerText()
    assert.match(raw, /^GET \/orders\/7\n/)
    assert.match(raw, /X-WX-OPENID: o/)
    assert.match(raw, /"htu": "http/)
    assert.doesNotMatch(raw, /Bearer/)
  }))

test('the diagram is copied in the language of Mermaid', () =>
  opened({ permissions: ['clipboard-read', 'clipboard-write'] }, async (playground, page) => {
    await playground.tap('visitor')
    await page.click('#copy')
    assert.deepEqual((await page.evaluate(() => navigator.clipboard.readText())).split('\n').map((it) => it.trim()), [
      'sequenceDiagram',
      'participant phone as Phone',
      'participant gate as Gate',
      'participant wechat as WeChat',
      'participant upstream as Upstream',
      'Note over phone,upstream: Phone · R1: needs no login',
      'phone->>gate: GET /api/welcome',
      'gate->>upstream: GET /welcome',
      'upstream-->>gate: 200',
      'gate-->>phone: 200',
      ''
    ])
  }))

test('with the real WeChat and an upstream of one\'s own, the page says what it cannot draw', () =>
  opened({}, async (_, page) => {
    const notices = await page.locator('#notices').innerText()
    assert.match(notices, /no phone on this page.*own-machine\.md/)
    assert.match(notices, /createClient\(\{ baseUrl: 'http:\/\/127\.0\.0\.1:\d+' \}\)/)
    assert.match(notices, /is not drawn/)
    assert.equal(await page.locator('.phone:visible').count(), 0)
  }, OWN_PARTS_URL))
