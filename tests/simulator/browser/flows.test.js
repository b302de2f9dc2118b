'use strict'
// Every flow of the playground, clicked in Chromium and read from the arrows that were drawn.
const assert = require('node:assert/strict')
const { after, afterEach, before, beforeEach, test } = require('node:test')
const { Playground, launch } = require('./browser')

const URL = process.env.PLAYGROUND_URL

const LOGIN = [
  'phone → wechat: wx.login()',
  'wechat → phone: {code}',
  'phone → gate: POST /login',
  'gate → wechat: GET /sns/jscode2session',
  'wechat → gate: 200',
  'gate → phone: 200 {token, expires_in: 604800}'
]
const of = (phone, arrows) => arrows.map((arrow) => arrow.replaceAll(/\bphone\b/g, phone))
const call = (path, method = 'GET') => [
  `phone → gate: ${method} /api${path}`,
  `gate → upstream: ${method} ${path}`,
  'upstream → gate: 200',
  'gate → phone: 200'
]
const REFUSED = ['phone → gate: GET /api/orders/7', 'gate → phone: 401 InvalidToken']
const REPLAYED = [...REFUSED, ...LOGIN, 'phone: replay', ...call('/orders/7')]
const PHONE_TAP = ['phone → wechat: <button getPhoneNumber>', 'wechat → phone: {code, encryptedData, iv}']
const WECHAT_GOOD = ['phone → wechat: wx.checkSession()', 'wechat → phone: ok']
const WECHAT_STALE = ['phone → wechat: wx.checkSession()', 'wechat → phone: fail session time out, need relogin']
const OPENED = ['phone → gate: POST /decrypt', 'gate → phone: 200 {data, assertion}']

let browser
let playground
let number = 0

before(async () => {
  browser = await launch()
  playground = await Playground.open(browser, URL)
})
after(() => browser.close())
beforeEach(async () => {
  await fetch(`${URL}/control/reset`, { method: 'POST', body: '{}' })
  await playground.load({ user: `user${++number}` })
})
afterEach(() => assert.deepEqual(playground.complaints, []))

// --- flow L ---

test('a login: code, appsecret, token', async () => {
  assert.deepEqual(await playground.tap('login'), LOGIN)
  assert.equal(await playground.result(), 'Logged in, for 7 days.')
})

// --- flow R ---

test('R1: a request that needs no login is just sent', async () => {
  const arrows = await playground.tap('visitor')
  assert.deepEqual(arrows, call('/welcome'))
  assert.equal(await playground.result(), '200, without an identity.')
})

test('R2: with no token, the login comes first', async () => {
  assert.deepEqual(await playground.tap('request'), [...LOGIN, ...call('/orders/7')])
})

test('R2: with a token, the request is sent with it', async () => {
  await playground.tap('login')
  assert.deepEqual(await playground.tap('request'), call('/orders/7'))
  assert.match(await playground.result(), /^200: the upstream knows you as …/)
})

test('R2: refused by the gate, it logs in and is sent again', async () => {
  await playground.tap('login')
  await playground.turn('revoke')
  assert.deepEqual(await playground.tap('request'), REPLAYED)
})

test('ten requests at once share one login', async () => {
  const arrows = await playground.tap('ten')
  assert.deepEqual(arrows.slice(0, 6), LOGIN)
  const rest = arrows.slice(6).sort()
  assert.deepEqual(rest, Array.from({ length: 10 }, (_, i) => call(`/orders/${i + 1}`)).flat().sort())
})

test('of ten requests at once none is answered before the upstream was asked', async () => {
  await playground.tap('login')
  const arrows = await playground.tap('ten')
  const count = (end, arrow) => arrows.slice(0, end).filter((it) => it.startsWith(arrow)).length
  arrows.forEach((_, i) => {
    assert.ok(count(i + 1, 'gate → phone: 200') <= count(i + 1, 'upstream → gate'))
    assert.ok(count(i + 1, 'gate → upstream') <= count(i + 1, 'phone → gate'))
  })
})

test('a change goes out as POST, and arrives as PATCH', async () => {
  await playground.tap('login')
  const [sent, arrived] = await playground.tap('patch')
  assert.deepEqual([sent, arrived], ['phone → gate: POST /api/orders/7', 'gate → upstream: PATCH /orders/7'])
})

test('a request of one\'s own is sent as it is written', async () => {
  await playground.tap('login')
  await playground.page.click('summary')
  await playground.page.selectOption('[name=method]', 'DELETE')
  await playground.page.fill('[name=path]', '/api/carts/3')
  assert.deepEqual(await playground.tap('own'), call('/carts/3', 'DELETE'))
})

// --- flow R3 ---

test('way 1: the page opens without a token, and the tap finds everything fresh', async () => {
  assert.deepEqual(await playground.tap('pageOpens'), LOGIN)
  assert.deepEqual(await playground.tap('userInfo'), [
    'phone → wechat: wx.getUserInfo()',
    'wechat → phone: {userInfo, rawData, signature, encryptedData, iv}',
    ...WECHAT_GOOD,
    ...OPENED
  ])
})

test('way 1: with a good token both the gate and WeChat are asked', async () => {
  await playground.tap('login')
  const arrows = await playground.tap('pageOpens')
  assert.equal(arrows[0], 'phone → gate: GET /session')
  assert.deepEqual(arrows.slice(-3), ['gate → phone: 200 {valid: true}', ...WECHAT_GOOD])
})

test('way 1: a WeChat session that has expired is renewed before the tap', async () => {
  await playground.tap('login')
  await playground.turn('expire')
  const arrows = await playground.tap('pageOpens')
  assert.deepEqual(arrows.slice(-7), ['gate → phone: 200 {valid: false}', ...LOGIN])
  assert.deepEqual(await playground.tap('phoneData', { answers: [true] }), [...PHONE_TAP, ...WECHAT_GOOD, ...OPENED])
})

test('way 2: data of a dead session needs a second tap', async () => {
  await playground.tap('login')
  await playground.turn('expire')
  assert.deepEqual(await playground.tap('phoneData', { answers: [true] }), [
    ...PHONE_TAP,
    ...WECHAT_STALE,
    ...LOGIN,
    'phone → gate: POST /decrypt',
    'gate → phone: 422 DecryptFailed'
  ])
  assert.equal(await playground.result(), 'TAP_AGAIN')
  assert.deepEqual(await playground.tap('phoneData', { answers: [true] }), [...PHONE_TAP, ...WECHAT_GOOD, ...OPENED])
  assert.match(await playground.result(), /^Phone number: 138/)
})

test('a phone number by code is exchanged at WeChat', async () => {
  await playground.tap('login')
  const arrows = await playground.tap('phoneCode', { answers: [true] })
  assert.deepEqual(arrows.slice(0, 3), [...PHONE_TAP, 'phone → gate: POST /phone'])
  assert.ok(arrows.includes('gate → wechat: POST /wxa/business/getuserphonenumber'))
  assert.equal(arrows.at(-1), 'gate → phone: 200 {data, assertion}')
})

test('who keeps the phone number says so to WeChat, and nothing is sent', async () => {
  const arrows = await playground.tap('phoneCode', { answers: [false] })
  assert.deepEqual(arrows, [PHONE_TAP[0], 'wechat → phone: fail user deny'])
  assert.equal(await playground.result(), 'USER_DENIED')
})

// --- flow A ---

const SETTING = 'phone → wechat: wx.getSetting()'
const STEPS = [
  'phone → wechat: wx.getWeRunData()',
  'wechat → phone: {encryptedData, iv}',
  ...WECHAT_GOOD,
  ...OPENED
]

test('authorization: WeChat asks once, the user agrees, the data come', async () => {
  await playground.tap('login')
  assert.deepEqual(await playground.tap('werun', { answers: [true] }), [
    SETTING,
    'wechat → phone: {}',
    'phone → wechat: wx.authorize()',
    'wechat → phone: ok',
    ...STEPS
  ])
  assert.deepEqual(await playground.tap('werun'), [SETTING, 'wechat → phone: {scope.werun: true}', ...STEPS])
})

test('authorization: refused before, the settings are opened by a button', async () => {
  await playground.tap('login')
  const refused = await playground.tap('werun', { answers: [false] })
  assert.equal(refused.at(-1), 'wechat → phone: fail auth deny')
  assert.deepEqual(await playground.tap('werun'), [SETTING, 'wechat → phone: {scope.werun: false}'])
  assert.equal(await playground.result(), 'NEEDS_SETTING')

  await playground.page.click('[data-phone=phone] [data-act=settings]')
  await playground.page.check('dialog[open] input')
  await playground.page.click('dialog[open] [data-answer=yes]')
  await playground.page.waitForSelector('[data-phone=phone]:not([data-busy])')
  assert.deepEqual((await playground.arrows()).slice(-2), [
    'phone → wechat: <button openSetting>',
    'wechat → phone: {scope.werun: true}'
  ])
  assert.deepEqual((await playground.tap('werun')).slice(-STEPS.length), STEPS)
})

const AGREEMENT = 'phone → wechat: <button agreePrivacyAuthorization>'

test('privacy: the agreement comes before the data', async () => {
  await playground.tap('login')
  await playground.turn('privacy')
  const arrows = await playground.tap('phoneData', { answers: [true, true] })
  assert.deepEqual(arrows.slice(0, 2), [PHONE_TAP[0], AGREEMENT])
  assert.deepEqual(arrows.slice(-2), OPENED)
})

test('privacy: who disagrees keeps the data', async () => {
  await playground.turn('privacy')
  assert.deepEqual(await playground.tap('privacy', { answers: [false] }), [
    'phone → wechat: wx.requirePrivacyAuthorize()',
    'wechat → phone: fail privacy permission is not authorized'
  ])
  assert.equal(await playground.result(), 'PRIVACY')
})

// --- phones that come and go ---

test('a new phone has no token, and logs in beside the first', async () => {
  await playground.tap('login')
  await playground.turn('newPhone')
  assert.deepEqual(await playground.tap('request', { phone: 'phone2' }), of('phone2', [...LOGIN, ...call('/orders/7')]))
  assert.deepEqual(await playground.tap('request'), call('/orders/7'))
})

test('logged out stays logged out, but for visits', async () => {
  await playground.tap('login')
  assert.deepEqual(await playground.tap('logout'), ['phone → gate: POST /logout', 'gate → phone: 204'])
  assert.deepEqual(await playground.tap('request'), [])
  assert.equal(await playground.result(), 'LOGGED_OUT')
  assert.deepEqual(await playground.tap('visitor'), call('/welcome'))
})

test('logout everywhere is seen by both phones', async () => {
  await playground.tap('login')
  await playground.turn('newPhone')
  await playground.tap('login', { phone: 'phone2' })
  const left = await playground.tap('everywhere', { phone: 'phone2' })
  assert.deepEqual(left, of('phone2', ['phone → gate: POST /logout', 'gate → phone: 204']))
  assert.deepEqual(await playground.tap('request', { phone: 'phone2' }), [])
  assert.deepEqual(await playground.tap('request'), REPLAYED)
})

// --- what may happen ---

test('offline, nothing leaves the phone', async () => {
  await playground.tap('login')
  await playground.page.click('[data-phone=phone] .offline')
  const [sent, lost, ...more] = await playground.tap('request')
  assert.deepEqual([sent, more], ['phone → gate: GET /api/orders/7', []])
  assert.match(lost, /^phone: request:fail .*ERR_INTERNET_DISCONNECTED$/)
  assert.equal(await playground.result(), 'NETWORK')
})

test('a busy WeChat is asked once more, with a new code', async () => {
  await playground.turn('busy')
  assert.deepEqual(await playground.tap('login'), [
    ...LOGIN.slice(0, 4),
    'wechat → gate: 200 errcode -1',
    'gate → phone: 503 WeChatBusy',
    ...LOGIN
  ])
})

test('a slow WeChat is waited for', async () => {
  await playground.turn('slow')
  const begun = Date.now()
  assert.deepEqual(await playground.tap('login'), LOGIN)
  assert.ok(Date.now() - begun >= 2000)
})

test('a WeChat session that has expired does no harm to the token', async () => {
  await playground.tap('login')
  await playground.turn('expire')
  assert.deepEqual(await playground.tap('request'), call('/orders/7'))
})

// --- what WeChat tells the gate of its users ---

const PUSHED = [
  'wechat → gate: POST /events',
  'gate → wechat: 200 success',
  'gate → upstream: POST /wxgate/events',
  'upstream → gate: 200'
]

test('a withdrawn consent reaches the business API, and the session lives on', async () => {
  await playground.tap('login')
  assert.deepEqual(await playground.turn('withdraw'), PUSHED)
  assert.deepEqual(await playground.tap('request'), call('/orders/7'))
})

test('a closed account ends every session before the business API hears of it', async () => {
  await playground.tap('login')
  assert.deepEqual(await playground.turn('closeAccount'), PUSHED)
  assert.deepEqual(await playground.tap('request'), REPLAYED)
})

test('what happens at the same time is drawn once', async () => {
  await playground.tap('login')
  const before = (await playground.arrows()).length
  await playground.page.evaluate(() => {
    for (const name of ['withdraw', 'closeAccount']) document.querySelector(`[data-switch=${name}]`).click()
  })
  await playground.tap('ten')
  await playground.page.waitForFunction(() => !document.querySelector('[aria-busy]'))
  const arrows = (await playground.arrows()).slice(before)
  const count = (arrow) => arrows.filter((it) => it === arrow).length
  assert.deepEqual(PUSHED.slice(0, 2).map(count), [2, 2])
  assert.ok(count(PUSHED[2]) >= 2) // the queue may deliver more than once
  assert.equal(arrows.filter((it) => it.startsWith('gate → upstream: GET')).length, 10)
})
