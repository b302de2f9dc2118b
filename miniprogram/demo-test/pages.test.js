'use strict'
// The demo as its user sees it: its real pages on a simulated phone, against the real local stack.
const assert = require('node:assert/strict')
const test = require('node:test')
const { APPID, GATE, WECHAT, startDemo, until } = require('./phone')

async function post(url, body, headers) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body)
  })
  assert.ok(answer.ok, `${url} ${answer.status}`)
}

const revoke = (token) => post(`${GATE}/logout`, {}, { authorization: `Bearer ${token}` })
const expireWeChatSession = (user) => post(`${WECHAT}/control/expire_session`, { appid: APPID, user })

/** Puts an answer of the business API in the place of the echo's. */
function answering({ phone }, statusCode, data) {
  const real = phone.wx.request
  phone.wx.request = (o) => {
    if (!o.url.includes('/api/')) return real(o)
    setTimeout(o.success, 0, { statusCode, data, header: {}, errMsg: 'request:ok' })
  }
  return () => (phone.wx.request = real)
}

// --- the first page ---

test('the first page lists the others and asks nothing of anybody', () => {
  const { phone, open } = startDemo()
  const page = open('index')
  assert.equal(page.all('.entry').length, 5)
  assert.match(page.text, /登录状态.*头像昵称.*手机号.*微信步数.*我的订单/)
  assert.deepEqual(phone.log, [])
})

// --- login state ---

test('the login state of a new phone: not logged in, and looking does not log in', async () => {
  const { phone, open } = startDemo()
  const page = open('session')
  await page.loading()
  assert.match(page.text, /未登录/)
  assert.equal(phone.count('login'), 0)
})

test('the check logs in where nobody is logged in, and not a second time', async () => {
  const { phone, open } = startDemo()
  const page = open('session')
  page.tap('.button')
  await until(() => /刚刚自动登录/.test(page.text))
  assert.match(page.text, /已登录/)
  page.tap('.button')
  await until(() => /都有效，没有重新登录/.test(page.text))
  assert.equal(phone.count('login'), 1)
})

test('the check logs in where WeChat’s session is stale', async () => {
  const { user, phone, client, open } = startDemo()
  await client.login()
  await expireWeChatSession(user)
  const page = open('session')
  page.tap('.button')
  await until(() => /刚刚自动登录/.test(page.text))
  assert.equal(phone.count('login'), 2)
})

test('the button logs in anew although somebody is logged in', async () => {
  const { phone, client, open } = startDemo()
  await client.login()
  const page = open('session')
  await page.loading()
  assert.match(page.text, /已登录/)
  page.tap('.quiet')
  await until(() => /刚刚登录/.test(page.text))
  assert.equal(phone.count('login'), 2)
})

test('leaving this phone makes the token dead at the gate', async () => {
  const { client, open } = startDemo()
  const { token } = await client.login()
  const page = open('session')
  page.all('.plain')[0].dispatchEvent('tap')
  await until(() => /这部手机已退出/.test(page.text))
  await page.loading() // asked before, answered after: no longer true
  assert.match(page.text, /已退出/)
  await assert.rejects(revoke(token), /401/)
})

test('who left stays out, also after a restart, until the button is tapped', async () => {
  const { phone, client, toasts } = startDemo()
  await client.login()
  await client.logout()
  const page = startDemo({ wx: phone.wx }).open('session')
  await page.loading()
  assert.match(page.text, /已退出/)
  page.tap('.button') // the check
  await until(() => toasts.length)
  assert.deepEqual([toasts, phone.count('login')], [['已退出登录，请先登录'], 1])
  page.tap('.quiet')
  await until(() => /已登录/.test(page.text))
  assert.equal(phone.count('login'), 2)
})

test('who left can still leave everywhere', async () => {
  const { phone, client, open } = startDemo()
  await client.logout()
  const page = open('session')
  await page.loading()
  page.all('.plain')[1].dispatchEvent('tap')
  await until(() => /所有手机都已退出/.test(page.text))
  assert.match(page.text, /已退出/)
  assert.equal(phone.count('request', '/logout'), 1)
})

test('leaving everywhere works without a token, and logs out the other phone', async () => {
  const first = startDemo()
  const other = await first.client.login()
  const second = startDemo({ wx: first.phone.anotherPhone().wx })
  const page = second.open('session')
  await page.loading()
  page.all('.plain')[1].dispatchEvent('tap')
  await until(() => /所有手机都已退出/.test(page.text))
  await assert.rejects(revoke(other.token), /401/)
})

test('a page that was left no longer listens', async () => {
  const { client, open } = startDemo()
  const page = open('session')
  await page.loading()
  page.leave()
  await client.login()
  assert.match(page.text, /未登录/)
})

test('offline, the login state stays open and the user is told', async () => {
  const { toasts, open } = startDemo({ switches: { offline: true } })
  const page = open('session')
  await page.loading()
  assert.match(page.text, /正在查看/)
  assert.deepEqual(toasts, ['网络不可用，请再试一次'])
})

// --- orders ---

test('orders: the page asks, the client logs in by itself, the list shows what went upstream', async () => {
  const { phone, open } = startDemo()
  const page = open('orders')
  await page.loading()
  assert.match(page.text, /请求GET \/orders\?page=1/)
  assert.match(page.text, /X-WX-OPENIDo[\w-]{27}/)
  assert.deepEqual([phone.count('login'), phone.count('request', '/api/orders')], [1, 1])
})

test('orders: a refused token costs one login and one replay, and the user sees nothing of it', async () => {
  const { phone, client, toasts, open } = startDemo()
  await revoke((await client.login()).token)
  const page = open('orders')
  await page.loading()
  assert.match(page.text, /X-WX-OPENID/)
  assert.deepEqual([phone.count('login'), toasts], [2, []])
})

for (const [where, data] of [
  ['an array', [{ id: 7, title: '咖啡', status: '已发货' }]],
  ['an array within', { orders: [{ id: 7, name: '咖啡', status: '已发货' }], total: 1 }]
]) {
  test(`orders: a real API gives ${where}`, async () => {
    const demo = startDemo()
    answering(demo, 200, data)
    const page = demo.open('orders')
    await page.loading()
    assert.match(page.text, /咖啡已发货/)
    assert.equal(page.all('.row').length, 1)
  })
}

for (const data of [[], {}, '', null]) {
  test(`orders: ${JSON.stringify(data)} is no order`, async () => {
    const demo = startDemo()
    answering(demo, 200, data)
    const page = demo.open('orders')
    await page.loading()
    assert.match(page.text, /还没有订单/)
  })
}

test('orders: a failure of the business API is told, and the button tries again', async () => {
  const demo = startDemo()
  const { toasts, open } = demo
  const restore = answering(demo, 500, 'sorry')
  const page = open('orders')
  await page.loading()
  assert.match(page.text, /没有加载成功/)
  assert.deepEqual(toasts, ['服务暂时不可用，请稍后再试'])
  restore()
  page.tap('.button')
  await until(() => /X-WX-OPENID/.test(page.text))
  assert.doesNotMatch(page.text, /没有加载成功/)
})

test('orders: who left is offered the login, and only the tap logs in', async () => {
  const { phone, client, toasts, open } = startDemo()
  await client.logout()
  const page = open('orders')
  await page.loading()
  assert.match(page.text, /已退出登录.*登录后才能看到自己的订单/)
  assert.deepEqual([toasts, phone.count('login')], [[], 0])
  page.tap('.button')
  await until(() => /X-WX-OPENID/.test(page.text))
  assert.doesNotMatch(page.text, /已退出登录/)
})

// --- avatar and nickname ---

const AVATAR = 'wxfile://tmp_avatar.png'

test('profile: the chosen avatar is shown, uploaded with the token, and the nickname posted', async () => {
  const { phone, open } = startDemo()
  phone.files.set(AVATAR, new Uint8Array([137, 80, 78, 71]))
  const page = open('profile')
  page.fire('.avatar-button', 'chooseavatar', { avatarUrl: AVATAR })
  await until(() => page.data.avatarUrl === AVATAR)
  page.fire('.card', 'submit', { value: { nickname: '小明' } })
  await until(() => /已保存，你好，小明/.test(page.text))
  assert.equal(phone.count('uploadFile', '/api/avatar'), 1)
  assert.equal(phone.count('request', '/api/profile'), 1)
  assert.equal(page.data.busy, false)
})

test('profile: nothing is sent before both are there', async () => {
  const { phone, toasts, open } = startDemo()
  const page = open('profile')
  page.fire('.card', 'submit', { value: { nickname: '小明' } })
  await until(() => toasts.length)
  page.fire('.avatar-button', 'chooseavatar', { avatarUrl: AVATAR })
  await until(() => page.data.avatarUrl)
  page.fire('.card', 'submit', { value: { nickname: '' } })
  await until(() => toasts.length === 2)
  assert.deepEqual(toasts, ['请选择头像并填写昵称', '请选择头像并填写昵称'])
  assert.deepEqual(phone.log, [])
})

// --- the phone number ---

const tapForPhone = (page) => page.tapButton('.button', 'getPhoneNumber')

test('phone number: one tap, and the page shows it', async () => {
  const { phone, open } = startDemo()
  const page = open('phone')
  await tapForPhone(page)
  await until(() => /138\d{8}/.test(page.text))
  assert.deepEqual([phone.count('login'), phone.count('checkSession')], [1, 0])
  assert.equal(page.data.busy, false)
})

test('phone number: on an old base library a first tap may only log in, a second one opens the data', async () => {
  const { toasts, open } = startDemo({ baseLibrary: '2.20.0' })
  const page = open('phone')
  await tapForPhone(page)
  await until(() => toasts.length && !page.data.busy)
  assert.deepEqual(toasts, ['登录已更新，请再点一次'])
  await tapForPhone(page)
  await until(() => /138\d{8}/.test(page.text))
})

for (const [name, words] of [
  ['refusePhone', []],
  ['noQuota', ['手机号额度已用完，请手动填写']],
  ['noPermission', ['当前微信或账号不支持']]
]) {
  test(`phone number: ${name} leaves it to the user's own hand`, async () => {
    const { phone, toasts, open } = startDemo({ switches: { [name]: true } })
    const page = open('phone')
    assert.equal(page.find('.field'), undefined)
    await tapForPhone(page)
    await until(() => page.find('.field'))
    assert.match(page.text, /也可以自己填写/)
    await until(() => !page.data.busy)
    assert.deepEqual([toasts, phone.count('request')], [words, 0])
  })
}

// --- steps ---

test('steps: the page logs in when it opens, and one tap brings a week', async () => {
  const { phone, toasts, open } = startDemo()
  const page = open('steps')
  await page.loading()
  assert.equal(phone.count('login'), 1)
  page.tap('.button')
  await until(() => page.all('.bar').length === 7)
  assert.match(page.text, /\d+月\d+日\d{4}/)
  assert.ok(page.data.days.some((day) => day.width === 100))
  assert.deepEqual([phone.count('login'), toasts], [1, []])
})

test('steps: refused now is respected, refused earlier shows the button, the settings cure it', async () => {
  const { phone, toasts, open } = startDemo({ switches: { refuse: ['scope.werun'] } })
  const page = open('steps')
  await page.loading()
  page.tap('.button')
  await until(() => phone.count('authorize') && !page.data.busy)
  assert.deepEqual([page.data.needsSetting, toasts], [false, []])
  page.tap('.button')
  await until(() => page.data.needsSetting)
  assert.match(page.text, /没有读取步数的权限.*去设置/)
  assert.equal(page.all('.button').length, 1)
  phone.switches.refuse = []
  await page.tapButton('.button', 'openSetting')
  await until(() => page.all('.bar').length === 7)
  assert.doesNotMatch(page.text, /没有读取步数的权限/)
  assert.equal(phone.count('authorize'), 1)
})

test('steps: what the phone denies to WeChat is explained, and the way to its settings offered', async () => {
  const { phone, toasts, open } = startDemo({ switches: { systemDenied: ['scope.werun'] } })
  const page = open('steps')
  await page.loading()
  page.tap('.button')
  await until(() => page.data.systemDenied)
  assert.match(page.text, /手机没有允许微信读取步数.*打开系统设置/)
  page.tap('.quiet')
  await until(() => phone.count('openAppAuthorizeSetting') === 1)
  assert.deepEqual(toasts, [])
  phone.switches.systemDenied = []
  page.tap('.button')
  await until(() => page.all('.bar').length === 7)
  assert.doesNotMatch(page.text, /手机没有允许/)
})

test('steps: a refusal of wx.getWeRunData itself has the code of its cause', async () => {
  const demo = startDemo()
  demo.phone.wx.getWeRunData = (o) => o.complete({ errMsg: 'getWeRunData:fail system permission denied', errno: 3 })
  const page = demo.open('steps')
  await page.loading()
  page.tap('.button')
  await until(() => page.data.systemDenied)
})

test('steps: settings that were opened and left as they were are told', async () => {
  const { phone, toasts, open } = startDemo({ switches: { refuse: ['scope.werun'] } })
  const page = open('steps')
  await page.loading()
  page.tap('.button')
  await until(() => phone.count('authorize') && !page.data.busy)
  page.tap('.button')
  await until(() => page.data.needsSetting)
  await page.tapButton('.button', 'openSetting')
  await until(() => toasts.length)
  assert.deepEqual([toasts, page.data.needsSetting], [['请先在设置中允许'], true])
})

test('steps: a login that went stale meanwhile asks for one more tap', async () => {
  const { user, toasts, open } = startDemo()
  const page = open('steps')
  await page.loading()
  await expireWeChatSession(user)
  page.tap('.button')
  await until(() => toasts.length && !page.data.busy)
  assert.deepEqual(toasts, ['登录已更新，请再点一次'])
  page.tap('.button')
  await until(() => page.all('.bar').length === 7)
})

test('steps: a login that fails when the page opens is silent; the tap says it', async () => {
  const { phone, toasts, open } = startDemo({ switches: { offline: true } })
  const page = open('steps')
  await page.loading()
  assert.deepEqual(toasts, [])
  page.tap('.button')
  await until(() => toasts.length && !page.data.busy)
  phone.switches.offline = false
  page.tap('.button')
  await until(() => toasts.length === 2 && !page.data.busy)
  assert.deepEqual(toasts, ['网络不可用，请再试一次', '登录已更新，请再点一次'])
  page.tap('.button')
  await until(() => page.all('.bar').length === 7)
})

// --- the privacy sheet ---

async function needingPrivacy() {
  const demo = startDemo({ switches: { privacyNeeded: true } })
  const page = demo.open('steps')
  await page.loading()
  const sheet = page.part('privacy-sheet')
  assert.equal(sheet.find('.sheet'), undefined)
  page.tap('.button')
  await until(() => sheet.find('.sheet'))
  return { ...demo, page, sheet }
}

test('privacy: the sheet names the agreement, opens its text, and agreeing lets the steps through', async () => {
  const { phone, page, sheet } = await needingPrivacy()
  await until(() => /《小程序隐私保护指引》/.test(sheet.text))
  sheet.tap('.link')
  await until(() => phone.count('openPrivacyContract'))
  await sheet.tapButton('#privacy-agree', 'agreePrivacyAuthorization', 'privacy-agree')
  await until(() => page.all('.bar').length === 7)
  assert.equal(sheet.find('.sheet'), undefined)
})

test('privacy: refusing closes the sheet, is told, and another tap asks again', async () => {
  const { toasts, page, sheet } = await needingPrivacy()
  sheet.tap('.choice')
  await until(() => toasts.length && !page.data.busy)
  assert.deepEqual([toasts, sheet.find('.sheet')], [['同意隐私保护指引后才能使用'], undefined])
  page.tap('.button')
  await until(() => sheet.find('.sheet'))
})

test('privacy: leaving the page answers for the user', async () => {
  const { toasts, page } = await needingPrivacy()
  page.leave()
  await until(() => toasts.length)
  assert.deepEqual(toasts, ['同意隐私保护指引后才能使用'])
})

test('privacy: the phone button waits for the sheet too', async () => {
  const { open } = startDemo({ switches: { privacyNeeded: true } })
  const page = open('phone')
  const sheet = page.part('privacy-sheet')
  const tapped = tapForPhone(page)
  await until(() => sheet.find('.sheet'))
  await sheet.tapButton('#privacy-agree', 'agreePrivacyAuthorization', 'privacy-agree')
  await tapped
  await until(() => /138\d{8}/.test(page.text))
})

// --- the desk's WeChat in DevTools ---

const refuse = (name) => (o = {}) => {
  const result = { errMsg: `${name}:fail` }
  if (o.fail) o.fail(result)
  return o.fail ? undefined : Promise.reject(result)
}

/** DevTools: the code is the real WeChat's, of which the desk knows nothing, and there are no steps. */
function strangersWx() {
  return {
    login: (o) => o.success({ code: '0d3Xa1000AbCdEf1Gh300iJkLm0Xa10n', errMsg: 'login:ok' }),
    checkSession: refuse('checkSession'),
    getWeRunData: refuse('getWeRunData')
  }
}

test('desk: in DevTools the simulated WeChat stands in, and login and decryption work', async () => {
  const desk = { url: WECHAT, appid: APPID, user: `devtools-${process.pid}` }
  const { toasts, open } = startDemo({ wx: strangersWx(), config: { desk } })
  const page = open('steps')
  await page.loading()
  page.tap('.button')
  await until(() => page.all('.bar').length === 7 || toasts.length)
  assert.deepEqual(toasts, [])
})

test('desk: without it the gate refuses a code that its WeChat does not know', async () => {
  const { client } = startDemo({ wx: strangersWx() })
  await assert.rejects(client.login(), { code: 'LOGIN_REFUSED', gate: 'InvalidCode' })
})

test('desk: a session that ended there is a failure of wx.checkSession', async () => {
  const desk = { url: WECHAT, appid: APPID, user: `devtools-ended-${process.pid}` }
  const { client } = startDemo({ wx: strangersWx(), config: { desk } })
  await client.login()
  assert.deepEqual(await client.ensureSession(), { renewed: false })
  await expireWeChatSession(desk.user)
  const { errMsg } = await new Promise((complete) => global.wx.checkSession({ complete }))
  assert.equal(errMsg, 'checkSession:fail refused by the desk')
})

test('desk: while it is down, login fails as it does without a network', async () => {
  const desk = { url: 'http://127.0.0.1:9', appid: APPID, user: 'nobody' }
  const { client } = startDemo({ wx: strangersWx(), config: { desk } })
  await assert.rejects(client.login(), { code: 'NETWORK' })
})
