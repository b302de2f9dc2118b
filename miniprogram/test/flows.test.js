'use strict'
// The flows that wxgate exists for, on a simulated phone, against the real local stack.
const assert = require('node:assert/strict')
const test = require('node:test')
const { APPID, GATE, WECHAT, takePhone, openProgram, revoke, fault, post } = require('./desk')
const { rejection, pause } = require('./fakes')

/** A phone whose user is known by name to the test, and the mini-program on it. */
function begin(options) {
  const user = `flow-${Math.random().toString(36).slice(2)}`
  const phone = takePhone({ user, ...options })
  return { user, phone, client: openProgram(phone) }
}

function expireWeChatSession(user) {
  return post(`${WECHAT}/control/expire_session`, { appid: APPID, user })
}

/** Without its name, which is the simulator's to choose. */
function isOpenid(text) {
  return /^o[\w-]{27}$/.test(text)
}

// --- flow L: login ---

test('login: the code goes to the gate, the token comes back and is stored', async () => {
  const { phone, client } = begin()
  const { token, expiresAt } = await client.login()
  assert.match(token, /^wxg_/)
  assert.ok(expiresAt > Date.now() + 604000 * 1000)
  assert.equal(openedStorage(phone).token, token)
})

function openedStorage(phone) {
  const [key] = phone.wx.getStorageInfoSync().keys
  return phone.wx.getStorageSync(key)
}

test('login: a code that WeChat refuses is followed by one new code', async () => {
  const { user, phone, client } = begin()
  await fault('/sns/jscode2session', '40029', user)
  await client.login()
  assert.equal(phone.count('login'), 2)
})

test('login: a user whom WeChat blocks gets LOGIN_REFUSED and the reason', async () => {
  const { user, client } = begin()
  await fault('/sns/jscode2session', '40226', user)
  const err = await rejection(client.login())
  assert.deepEqual([err.code, err.gate], ['LOGIN_REFUSED', 'UserBlocked'])
})

test('login needs no consent, and consent needs no login', async () => {
  const { phone, client } = begin({ switches: { refuse: ['scope.userLocation'] } })
  await client.login()
  assert.equal(phone.count('authorize') + phone.count('getSetting'), 0)
  const other = begin()
  assert.equal(await other.client.authorize('scope.userLocation'), true)
  assert.equal(other.phone.count('login') + other.phone.count('request'), 0)
})

// --- flow R1 and R2: requests ---

test('R1: a request that needs no login is just sent', async () => {
  const { phone, client } = begin()
  const { data } = await client.get('/api/news', undefined, { login: false })
  assert.deepEqual([data.path, data.headers['X-WX-OPENID']], ['/news', undefined])
  assert.equal(phone.count('login'), 0)
})

test('R1: with a token it carries the identity all the same', async () => {
  const { client } = begin()
  await client.login()
  const { data } = await client.get('/api/news')
  assert.ok(isOpenid(data.headers['X-WX-OPENID']))
})

test('R2: without a token the login comes first, and nothing is sent that is known to be refused', async () => {
  const { phone, client } = begin()
  const { data } = await client.post('/api/orders', { item: 7 })
  assert.ok(isOpenid(data.headers['X-WX-OPENID']))
  assert.deepEqual([data.method, JSON.parse(data.body)], ['POST', { item: 7 }])
  const sent = phone.log.filter((entry) => entry.api === 'request').map((entry) => [entry.url.replace(GATE, ''), entry.status])
  assert.deepEqual(sent, [['/login', 200], ['/api/orders', 200]])
})

test('R2: a request with a refused token is refused, logged in for and sent again', async () => {
  const { phone, client } = begin()
  await revoke((await client.login()).token)
  assert.equal((await client.post('/api/orders', { item: 7 })).statusCode, 200)
  const sent = phone.log.filter((entry) => entry.api === 'request').map((entry) => [entry.url.replace(GATE, ''), entry.status])
  assert.deepEqual(sent.slice(1), [['/api/orders', 401], ['/login', 200], ['/api/orders', 200]])
})

test('R2: on WeChat for PC a refused token is renewed in passing as well', async () => {
  const { phone, client } = begin({ switches: { platform: 'pc' } })
  await revoke((await client.login()).token)
  assert.equal((await client.get('/api/a')).statusCode, 200)
  assert.equal(phone.count('login'), 2)
})

test('R2: the next request, also after a restart, needs no login any more', async () => {
  const { phone, client } = begin()
  await client.get('/api/a')
  await openProgram(phone).get('/api/b')
  assert.equal(phone.count('login'), 1)
})

test('R2: a token that the gate does not know any more is renewed in passing', async () => {
  const { phone, client } = begin()
  await revoke((await client.login()).token)
  assert.equal((await client.get('/api/a')).statusCode, 200)
  assert.equal(phone.count('login'), 2)
})

for (const headerCase of ['lower', 'title', 'upper']) {
  test(`R2: the gate's mark is found on phones that spell headers in ${headerCase} case`, async () => {
    const { client } = begin({ switches: { headerCase } })
    await revoke((await client.login()).token)
    assert.equal((await client.get('/api/a')).statusCode, 200)
  })
}

test('R2: the bearer, and a Referer that names the mini-program, go no further than they should', async () => {
  const { client } = begin()
  const { data } = await client.get('/api/a', { page: 2 })
  assert.equal(data.headers.Authorization, undefined)
  assert.equal(data.headers.Referer, `https://servicewechat.com/${APPID}/devtools/page-frame.html`)
  assert.equal(data.query, 'page=2')
})

test('R2: an upload logs in by the same rules', async () => {
  const { phone, client } = begin()
  phone.files.set('wxfile://photo.jpg', new Uint8Array([0xff, 0xd8]))
  const res = await client.upload({ url: '/api/photos', filePath: 'wxfile://photo.jpg', name: 'photo' })
  const { headers } = JSON.parse(res.data)
  assert.ok(isOpenid(headers['X-WX-OPENID']))
  assert.match(headers['Content-Type'], /^multipart\/form-data; boundary=/)
  assert.deepEqual([phone.count('login'), phone.count('uploadFile')], [1, 1])
})

test('R2: a download logs in by the same rules', async () => {
  const { phone, client } = begin()
  const { tempFilePath } = await client.download({ url: '/api/report' })
  const text = phone.wx.getFileSystemManager().readFileSync(tempFilePath, 'utf-8')
  assert.equal(JSON.parse(text).path, '/report')
  assert.deepEqual([phone.count('login'), phone.count('downloadFile')], [1, 1])
})

test('R2: a refused upload and download are sent again after one login', async () => {
  const { phone, client } = begin()
  phone.files.set('wxfile://photo.jpg', new Uint8Array([0xff, 0xd8]))
  for (const [api, send] of [
    ['uploadFile', () => client.upload({ url: '/api/photos', filePath: 'wxfile://photo.jpg', name: 'photo' })],
    ['downloadFile', () => client.download({ url: '/api/report' })]
  ]) {
    await revoke((await client.login()).token)
    assert.equal((await send()).statusCode, 200)
    assert.equal(phone.count(api), 2)
  }
})

test('R2: offline, the request fails once and nothing is sent again', async () => {
  const { phone, client } = begin()
  await client.login()
  phone.switches.offline = true
  const before = phone.count('request')
  const err = await rejection(client.get('/api/a'))
  assert.deepEqual([err.code, err.errno, phone.count('request') - before], ['NETWORK', 600001, 1])
})

test('R2: offline and without a token, wx.login is tried twice and no request is made', async () => {
  const { phone, client } = begin({ switches: { offline: true, platform: 'ios' } })
  assert.equal((await rejection(client.get('/api/a'))).code, 'NETWORK')
  assert.deepEqual([phone.count('login'), phone.count('request')], [2, 0])
})

test('R2: in the background the request is interrupted', async () => {
  const { phone, client } = begin({ backgroundGrace: 0 })
  await client.login()
  phone.background()
  await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal((await rejection(client.get('/api/a'))).errMsg, 'request:fail interrupted')
  phone.foreground()
  assert.equal((await client.get('/api/a')).statusCode, 200)
})

// --- flow R3, way 1: check when the page opens ---

test('way 1: without a token the page logs in, and the tap opens the data', async () => {
  const { phone, client } = begin()
  assert.deepEqual(await client.ensureSession(), { renewed: true })
  assert.equal(phone.count('checkSession'), 0)
  const opened = await client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })
  assert.equal(opened.data.nickName, '微信用户')
  assert.equal(opened.assertion.split('.').length, 3)
})

test('way 1: with a token that the gate refuses the page logs in', async () => {
  const { client } = begin()
  await revoke((await client.login()).token)
  assert.deepEqual(await client.ensureSession(), { renewed: true })
})

test('way 1: with a stale WeChat session the page logs in, and the tap opens the data', async () => {
  const { user, phone, client } = begin()
  await client.login()
  await expireWeChatSession(user)
  assert.deepEqual(await client.ensureSession(), { renewed: true })
  assert.equal((await client.decrypt(await phone.call('getWeRunData'), { kind: 'werun' })).data.stepInfoList.length, 31)
})

test('way 1: with both alive the page does nothing more', async () => {
  const { phone, client } = begin()
  await client.login()
  assert.deepEqual(await client.ensureSession(), { renewed: false })
  assert.deepEqual([phone.count('login'), phone.count('checkSession')], [1, 1])
})

test('way 1: after a login on another phone the gate holds a dead key, which wx.checkSession does not tell', async () => {
  const { phone, client } = begin()
  await client.login()
  await openProgram(phone.anotherPhone()).login()
  assert.deepEqual(await client.ensureSession(), { renewed: true })
  assert.ok((await client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })).data.openId)
})

test('way 1: a login that WeChat saw and the gate did not is made good', async () => {
  const { phone, client } = begin()
  await client.login()
  phone.switches.domains = []
  await rejection(client.login())
  phone.switches.domains = null
  await phone.wx.checkSession()
  assert.deepEqual(await openProgram(phone).ensureSession(), { renewed: true })
})

// --- flow R3, way 2: check when the user taps ---

test('way 2: with both alive the data in hand are opened', async () => {
  const { phone, client } = begin()
  await client.login()
  const { data } = await client.decrypt(await phone.call('getGroupEnterInfo'), { kind: 'group' })
  assert.ok(data.opengid)
  assert.equal(phone.count('login'), 1)
})

test('way 2: without a token the tap logs in and asks for another, which opens the data', async () => {
  const { phone, client } = begin()
  const tap = async () => client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })
  assert.equal((await rejection(tap())).code, 'TAP_AGAIN')
  assert.ok((await tap()).data.openId)
  assert.equal(phone.count('login'), 1)
})

test('way 2: with a refused token the tap logs in and asks for another', async () => {
  const { phone, client } = begin()
  await revoke((await client.login()).token)
  const tap = async () => client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })
  assert.equal((await rejection(tap())).code, 'TAP_AGAIN')
  assert.ok((await tap()).data.openId)
})

test('way 2: a tap while way 1 is under way waits for it, and then opens the data', async () => {
  const { phone, client } = begin()
  const codes = new Promise((resolve) => client.on('login', resolve))
  const opening = client.ensureSession()
  await codes // WeChat has its new key, the page does not know yet
  const tapped = client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })
  assert.ok((await tapped).data.openId)
  assert.deepEqual(await opening, { renewed: true })
})

test('way 2: with a stale WeChat session the tap logs in and asks for another', async () => {
  const { user, phone, client } = begin()
  await client.login()
  await expireWeChatSession(user)
  const tap = async () => client.decrypt(await phone.call('getShareInfo'), { kind: 'share' })
  assert.equal((await rejection(tap())).code, 'TAP_AGAIN')
  assert.ok((await tap()).data.openGId)
})

test('way 2: after a login on another phone the tap logs in and asks for another', async () => {
  const { phone, client } = begin()
  await client.login()
  await openProgram(phone.anotherPhone()).login()
  const tap = async () => client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })
  assert.equal((await rejection(tap())).code, 'TAP_AGAIN')
  assert.ok((await tap()).data.openId)
})

test('way 2: data taken just before a login still open, for the gate holds the key before', async () => {
  const { phone, client } = begin()
  await client.login()
  const data = await phone.call('getUserInfo')
  await client.login()
  assert.ok((await client.decrypt(data, { kind: 'user' })).data.openId)
})

test('way 2: with the key before at the gate a login that had to happen needs no second tap', async () => {
  const { phone, client } = begin()
  await client.login()
  const data = await phone.call('getUserInfo')
  phone.wx.checkSession = (o) => o.fail({ errMsg: 'checkSession:fail' })
  assert.ok((await client.decrypt(data, { kind: 'user' })).data.openId)
  assert.equal(phone.count('login'), 2)
})

test('wx.checkSession is asked only before data are opened', async () => {
  const { phone, client } = begin()
  await client.get('/api/a')
  await client.ensureLogin()
  assert.equal(phone.count('checkSession'), 0)
  await client.decrypt(await phone.call('getUserInfo'), { kind: 'user' })
  assert.equal(phone.count('checkSession'), 1)
})

// --- a new phone, and leaving ---

test('a new phone: the token is gone, the WeChat session is still valid, and one login makes it good', async () => {
  const { phone, client } = begin()
  const before = (await client.get('/api/a')).data.headers['X-WX-OPENID']
  const another = phone.anotherPhone()
  assert.equal((await another.wx.checkSession()).errMsg, 'checkSession:ok')
  const { data } = await openProgram(another).get('/api/a')
  assert.equal(data.headers['X-WX-OPENID'], before)
  assert.equal(another.count('login'), 1)
})

test('logout ends the token at the gate; everywhere ends those of the other phones', async () => {
  const { phone, client } = begin()
  const other = openProgram(phone.anotherPhone())
  const [mine, theirs] = [await client.login(), await other.login()]
  await client.logout()
  await assert.rejects(revoke(mine.token), /401/)
  await client.login()
  await client.logout({ everywhere: true })
  await assert.rejects(revoke(theirs.token), /401/)
})

test('leaving: nobody is logged in again, also after a restart; a visitor may still look', async () => {
  const { phone, client } = begin()
  await client.login()
  await client.logout()
  const restarted = openProgram(phone)
  assert.deepEqual([restarted.state().loggedIn, restarted.state().loggedOut], [false, true])
  for (const it of [client, restarted]) assert.equal((await rejection(it.get('/api/a'))).code, 'LOGGED_OUT')
  assert.equal((await restarted.get('/api/news', undefined, { login: false })).statusCode, 200)
  assert.equal(phone.count('login'), 1)
  await restarted.login()
  assert.equal((await client.get('/api/a')).statusCode, 200)
})

test('leaving during a login: the token that it brings is dead at the gate', async () => {
  const { phone, client } = begin()
  const login = rejection(client.login())
  while (!phone.count('request')) await pause(1)
  await client.logout()
  assert.equal((await login).code, 'LOGGED_OUT')
  const sent = phone.log.filter((entry) => entry.api === 'request').map((entry) => [entry.url.replace(GATE, ''), entry.status])
  assert.deepEqual(sent, [['/login', 200], ['/logout', 204]])
})

test('leaving: another package of the mini-program with the same storage is out as well', async () => {
  const { phone, client } = begin()
  const other = openProgram(phone)
  await client.login()
  assert.equal((await other.get('/api/a')).statusCode, 200)
  await client.logout()
  assert.equal((await rejection(other.get('/api/a'))).code, 'LOGGED_OUT')
})

// --- flow A: authorization ---

test('A: never asked, the user is asked and agrees', async () => {
  const { phone, client } = begin()
  assert.equal(await client.authorize('scope.userLocation'), true)
  assert.equal((await phone.wx.getLocation()).errMsg, 'getLocation:ok')
})

test('A: granted before, nobody is asked', async () => {
  const { phone, client } = begin()
  await client.authorize('scope.userLocation')
  await client.authorize('scope.userLocation')
  assert.equal(phone.count('authorize'), 1)
})

test('A: refused just now is USER_DENIED, refused earlier is NEEDS_SETTING without asking', async () => {
  const { phone, client } = begin({ switches: { refuse: ['scope.userLocation'] } })
  const now = await rejection(client.authorize('scope.userLocation'))
  assert.deepEqual([now.code, now.errMsg, now.errno], ['USER_DENIED', 'authorize:fail auth deny', 103])
  assert.equal((await rejection(client.authorize('scope.userLocation'))).code, 'NEEDS_SETTING')
  assert.equal(phone.count('authorize'), 1)
})

test('A: a button of its own opens the settings; what the user does there decides', async () => {
  const { phone, client } = begin({ switches: { refuse: ['scope.userLocation'] } })
  await rejection(client.authorize('scope.userLocation'))
  const settle = (event) => client.settingResult(event.detail, 'scope.userLocation')
  assert.equal((await rejection(settle({}))).code, 'NEEDS_SETTING')
  assert.equal((await rejection(phone.tapButton('openSetting', settle))).code, 'NEEDS_SETTING')
  phone.switches.refuse = []
  assert.equal(await phone.tapButton('openSetting', settle), true)
  assert.equal(await client.authorize('scope.userLocation'), true)
})

test('A: what the phone’s own settings deny to WeChat is SYSTEM_DENIED', async () => {
  const { client } = begin({ switches: { systemDenied: ['scope.userLocation'] } })
  const err = await rejection(client.authorize('scope.userLocation'))
  assert.deepEqual([err.code, err.errno], ['SYSTEM_DENIED', 3])
})

// --- the privacy agreement ---

test('privacy: what is not needed is not asked', async () => {
  const { client } = begin()
  assert.equal((await client.privacy.status()).needAuthorization, false)
  await client.privacy.require()
})

test('privacy: agreeing answers every API that waits', async () => {
  const { phone, client } = begin({ switches: { privacyNeeded: true } })
  const sheets = []
  client.privacy.onNeed((sheet) => sheets.push(sheet))
  const waiting = [phone.wx.getLocation(), client.privacy.require(), phone.call('getUserInfo')]
  await new Promise((resolve) => setTimeout(resolve, 5))
  assert.deepEqual(sheets.map((sheet) => sheet.referrer), ['getLocation', 'requirePrivacyAuthorize', 'getUserInfo'])
  await phone.tapButton('agreePrivacyAuthorization', () => sheets[2].agree('agree'), 'agree')
  await Promise.all(waiting)
  assert.equal((await client.privacy.status()).needAuthorization, false)
})

test('privacy: disagreeing is PRIVACY, for the API and for require', async () => {
  const { phone, client } = begin({ switches: { privacyNeeded: true } })
  client.privacy.onNeed(({ disagree }) => disagree())
  const err = await rejection(client.privacy.require())
  assert.deepEqual([err.code, err.errno], ['PRIVACY', 104])
  assert.equal(await phone.tapButton('getPhoneNumber', (e) => rejection(client.phone(e.detail)).then((it) => it.code)), 'PRIVACY')
  assert.equal((await rejection(client.authorize('scope.userLocation'))).code, 'PRIVACY')
})

test('privacy: a page that unloads leaves no API waiting', async () => {
  const { client } = begin({ switches: { privacyNeeded: true } })
  const unload = client.privacy.onNeed(() => setTimeout(unload, 0))
  assert.equal((await rejection(client.privacy.require())).code, 'PRIVACY')
})

test('privacy: without a handler WeChat shows its own sheet', async () => {
  const { phone, client } = begin({ switches: { privacyNeeded: true, refusePrivacy: true } })
  assert.equal((await rejection(client.privacy.require())).code, 'PRIVACY')
  phone.switches.refusePrivacy = false
  await client.privacy.require()
})

// --- the phone number ---

function tapForPhone(phone, client) {
  return phone.tapButton('getPhoneNumber', (event) => client.phone(event.detail))
}

test('phone number: by code, with no session_key and at the first tap', async () => {
  const { user, phone, client } = begin()
  await client.login()
  await expireWeChatSession(user)
  const { data, assertion } = await tapForPhone(phone, client)
  assert.match(data.purePhoneNumber, /^138\d{8}$/)
  assert.equal(assertion.split('.').length, 3)
  assert.deepEqual([phone.count('login'), phone.count('checkSession'), phone.count('request', '/decrypt')], [1, 0, 0])
})

test('phone number: without a login the same tap logs in and is good', async () => {
  const { phone, client } = begin()
  assert.match((await tapForPhone(phone, client)).data.phoneNumber, /^138/)
  assert.equal(phone.count('request', '/phone'), 1)
})

test('phone number: the button that proves it in real time gives a code alone', async () => {
  const { phone, client } = begin()
  const opened = await phone.tapButton('getRealtimePhoneNumber', (event) => client.phone(event.detail))
  assert.match(opened.data.phoneNumber, /^138/)
})

test('phone number: a spent code asks to tap again', async () => {
  const { phone, client } = begin()
  const detail = await phone.tapButton('getPhoneNumber', (event) => event.detail)
  await client.phone(detail)
  assert.equal((await rejection(client.phone(detail))).code, 'TAP_AGAIN')
})

test('phone number: by decryption on old base libraries', async () => {
  const { phone, client } = begin({ baseLibrary: '2.20.0' })
  await client.ensureSession()
  assert.match((await tapForPhone(phone, client)).data.purePhoneNumber, /^138\d{8}$/)
  assert.deepEqual([phone.count('request', '/phone'), phone.count('request', '/decrypt')], [0, 1])
})

test('phone number: by decryption it may need a second tap', async () => {
  const { phone, client } = begin({ baseLibrary: '2.20.0' })
  assert.equal((await rejection(tapForPhone(phone, client))).code, 'TAP_AGAIN')
  assert.match((await tapForPhone(phone, client)).data.purePhoneNumber, /^138\d{8}$/)
})

for (const [name, code] of [['refusePhone', 'USER_DENIED'], ['noQuota', 'QUOTA'], ['noPermission', 'UNSUPPORTED']]) {
  test(`phone number: ${name} is told as ${code}, and nothing is sent`, async () => {
    const { phone, client } = begin({ switches: { [name]: true } })
    assert.equal((await rejection(tapForPhone(phone, client))).code, code)
    assert.equal(phone.count('request') + phone.count('login'), 0)
  })
}
