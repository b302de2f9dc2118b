'use strict'
// The client's rules one by one, on a wx in memory.
const assert = require('node:assert/strict')
const test = require('node:test')
const { createClient } = require('../miniprogram_dist/index.js')
const { HOME, ok, refusal, dead, fakeWx, gateOf, clientOf, loggedIn, inTurn, later, rejection, pause } = require('./fakes')

const DETAIL = { errMsg: 'getUserInfo:ok', encryptedData: 'AAAA', iv: 'BBBB' }
const opened = ok({ data: { nickName: 'A' }, assertion: 'jwt' })

/** The storage's one value. */
const stored = (wx) => JSON.parse([...wx.storage.values()][0])

// --- making a client ---

test('a client needs an address', () => {
  assert.throws(() => createClient(), { code: 'UNSUPPORTED' })
  assert.throws(() => createClient({ wx: {} }), { code: 'UNSUPPORTED' })
  assert.throws(() => createClient({ baseUrl: 'api.example.com', wx: {} }), { code: 'UNSUPPORTED' })
})

test('a client needs a wx, and says so at once', () => {
  assert.throws(() => createClient({ baseUrl: HOME }), { code: 'UNSUPPORTED' })
})

test('making a client touches neither network nor storage', () => {
  const wx = new Proxy({}, { get: (_, name) => assert.fail(`wx.${String(name)} was read`) })
  clientOf(wx)
})

test('two clients with their own storage keys know nothing of each other', async () => {
  const wx = fakeWx(gateOf({}))
  const [a, b] = ['a', 'b'].map((storageKey) => clientOf(wx, { storageKey }))
  await a.login()
  assert.equal(b.state().loggedIn, false)
  await b.get('/api/x')
  assert.equal(wx.sent('/api/x')[0].header.Authorization, 'Bearer token-2')
  assert.deepEqual([...wx.storage.keys()], ['a', 'b'])
})

test('a client of another gate does not find this one’s token', async () => {
  const wx = fakeWx(() => ok({ token: 'secret', expires_in: 7200 }))
  await clientOf(wx).login()
  await clientOf(wx, { baseUrl: 'https://other.example.com' }).get('/api/x', undefined, { login: false })
  assert.equal(wx.sent('other.example.com')[0].header.Authorization, undefined)
})

test('one key holds all that is stored', async () => {
  const wx = fakeWx(gateOf({}))
  await loggedIn(wx, { storageKey: 'mine' })
  assert.deepEqual([...wx.storage.keys()], ['mine'])
})

// --- login ---

test('login always logs in, and calls at the same time share one', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  await Promise.all([client.login(), client.login(), client.ensureLogin()])
  assert.equal(wx.codes, 1)
  await client.login()
  assert.equal(wx.codes, 2)
})

test('ensureLogin logs in only without a usable token', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  assert.equal((await client.ensureLogin()).token, 'token-1')
  assert.equal(wx.codes, 1)
})

test('ensureLogin during a login waits for the new token, since the old one is about to go', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  client.login()
  assert.equal((await client.ensureLogin()).token, 'token-2')
})

test('a token that was refused is not usable, also where the login after it failed', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const client = await loggedIn(wx)
  const login = wx.login
  wx.login = (o) => o.fail({ errMsg: 'login:fail' })
  await rejection(client.get('/api/x'))
  wx.login = login
  assert.equal((await client.ensureLogin()).token, 'token-2')
})

test('a token within half a minute of its end is not usable', async () => {
  const wx = fakeWx(gateOf({ '/login': ok({ token: 't', expires_in: 29 }) }))
  const client = await loggedIn(wx)
  await client.ensureLogin()
  assert.equal(wx.codes, 2)
})

test('a token without expires_in is good until it is refused', async () => {
  const wx = fakeWx(gateOf({ '/login': ok({ token: 't' }) }))
  await loggedIn(wx)
  await clientOf(wx).ensureLogin()
  assert.equal(wx.codes, 1)
})

for (const [value, usable] of [['7200', true], [0, true], [null, true], ['soon', true], [-5, false]]) {
  test(`expires_in ${JSON.stringify(value)}: ${usable ? 'usable' : 'past its end'}, and no login before each request`, async () => {
    const wx = fakeWx(gateOf({ '/login': inTurn(ok({ token: 't', expires_in: value }), ok({ token: 'u', expires_in: 7200 })) }))
    const client = await loggedIn(wx)
    assert.equal(client.state().loggedIn, usable)
    await client.get('/api/x')
    await client.get('/api/x')
    assert.equal(wx.codes, usable ? 1 : 2)
  })
}

test('a stored token survives a restart of the mini-program', async () => {
  const wx = fakeWx(gateOf({}))
  await loggedIn(wx)
  await clientOf(wx).get('/api/x')
  assert.equal(wx.sent('/api/x')[0].header.Authorization, 'Bearer token-1')
})

test('the old token goes to /login as replaces, and in no header', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx, { appid: 'wx1' })
  await client.login()
  const [first, second] = wx.sent('/login')
  assert.deepEqual(first.data, { code: 'code-1', appid: 'wx1' })
  assert.deepEqual(second.data, { code: 'code-2', appid: 'wx1', replaces: 'token-1' })
  assert.deepEqual(second.header, {})
})

test('a code is never sent twice, whatever becomes of the login', async () => {
  for (const failure of [refusal('WeChatTimeout', 504), { errMsg: 'request:fail timeout' }, refusal('InvalidCode')]) {
    const wx = fakeWx(() => failure)
    const client = clientOf(wx)
    await rejection(client.login())
    await rejection(client.login())
    const codes = wx.sent('/login').map((request) => request.data.code)
    assert.deepEqual(codes, [...new Set(codes)])
  }
})

test('a code that the gate refuses twice is a refused login', async () => {
  const wx = fakeWx(() => refusal('InvalidCode'))
  const err = await rejection(clientOf(wx).login())
  assert.deepEqual([err.code, err.gate, wx.codes], ['LOGIN_REFUSED', 'InvalidCode', 2])
})

test('a blocked user is not tried again', async () => {
  const wx = fakeWx(() => refusal('UserBlocked', 403))
  const err = await rejection(clientOf(wx).login())
  assert.deepEqual([err.code, err.gate, err.response.statusCode, wx.codes], ['LOGIN_REFUSED', 'UserBlocked', 403, 1])
})

test('an answer without a token is a refused login, whatever it is', async () => {
  for (const answer of [ok(''), ok(null), ok('<html>'), { ...ok(), statusCode: 502, data: undefined }]) {
    const err = await rejection(clientOf(fakeWx(() => answer)).login())
    assert.equal(err.code, 'LOGIN_REFUSED')
  }
})

test('wx.login without a code is a refused login', async () => {
  const wx = fakeWx(gateOf({}))
  wx.login = (o) => o.success({ errMsg: 'login:ok' })
  assert.equal((await rejection(clientOf(wx).login())).code, 'LOGIN_REFUSED')
})

/** A wx.login that fails so the first times, then works. */
function failingLogin(wx, ...failures) {
  const real = wx.login
  wx.tries = 0
  wx.login = (o) => {
    const failure = failures[wx.tries++]
    if (!failure) return real(o)
    if (failure instanceof Error) throw failure
    setTimeout(o.fail, 0, failure)
  }
}

for (const [name, failure] of [
  ['fails for the network', { errMsg: 'login:fail 网络错误' }],
  ['is refused a connection', { errMsg: 'login:fail 连接被拒绝' }],
  ['fails for no known reason', { errMsg: 'login:fail system error' }],
  ['says nothing', {}],
  ['takes too long', { errMsg: 'login:fail timeout', errno: 5 }],
  ['throws', new Error('bridge is not ready')]
]) {
  test(`a wx.login that ${name} is tried once more`, async () => {
    const wx = fakeWx(gateOf({}))
    failingLogin(wx, failure)
    assert.equal((await clientOf(wx).login()).token, 'token-1')
    assert.equal(wx.tries, 2)
  })
}

for (const failure of [
  { errMsg: 'login:fail wxa login is blocked', errno: 1402101 },
  { errMsg: 'login:fail', errno: 1402101 },
  { errMsg: 'login:fail auth deny' },
  { errMsg: 'login:fail', errno: 103 },
  { errMsg: 'login:fail user cancel' },
  { errMsg: 'login:fail user rejected' },
  { errMsg: 'login:fail 用户拒绝' },
  { errMsg: 'login:fail 用戶拒絕' },
  { errMsg: 'login:fail 用户取消' },
  { errMsg: 'login:fail:appid is banned' },
  { errMsg: 'login:fail 账号已被封禁' }
]) {
  test(`a wx.login that refuses is not tried again: ${JSON.stringify(failure)}`, async () => {
    const wx = fakeWx(gateOf({}))
    failingLogin(wx, failure)
    assert.equal((await rejection(clientOf(wx).login())).code, 'LOGIN_REFUSED')
    assert.equal(wx.tries, 1)
  })
}

for (const Code of ['WeChatBusy', 'WeChatUnavailable', 'InvalidCode']) {
  test(`a login that ends in ${Code} is tried once more, with a new code`, async () => {
    const wx = fakeWx(gateOf({ '/login': inTurn(refusal(Code, 503), ok({ token: 't', expires_in: 7200 })) }))
    assert.equal((await clientOf(wx).login()).token, 't')
    assert.deepEqual(wx.sent('/login').map((r) => r.data.code), ['code-1', 'code-2'])
  })
}

test('whatever goes wrong, a login calls wx.login twice at most', async () => {
  const busy = refusal('WeChatBusy', 503)
  for (const [failures, answers] of [
    [[], [busy, busy]],
    [[], [refusal('InvalidCode'), busy]],
    [[{ errMsg: 'login:fail' }], [busy]],
    [[{ errMsg: 'login:fail' }, { errMsg: 'login:fail' }], []]
  ]) {
    const wx = fakeWx(gateOf({ '/login': inTurn(...answers, ok({ token: 'never' })) }))
    failingLogin(wx, ...failures)
    assert.equal((await rejection(clientOf(wx).login())).code, 'LOGIN_REFUSED')
    assert.equal(wx.tries, 2)
  }
})

test('a login that the network lost says NETWORK, and the next one starts afresh', async () => {
  const wx = fakeWx(gateOf({ '/login': inTurn({ errMsg: 'request:fail errcode:-102', errno: 600001 }, ok({ token: 't' })) }))
  const client = clientOf(wx)
  const err = await rejection(client.login())
  assert.deepEqual([err.code, err.errno], ['NETWORK', 600001])
  assert.equal((await client.login()).token, 't')
})

test('who hears of a login and logs in again gets a new login', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const again = client.login().then(() => client.login())
  assert.equal((await again).token, 'token-2')
})

test('the pending mark stands from wx.login until /login has answered', async () => {
  let during
  const wx = fakeWx(
    gateOf({
      '/login': () => {
        during = wx.getStorageSync('k').pending
        return ok({ token: 't', expires_in: 7200 })
      }
    })
  )
  await loggedIn(wx, { storageKey: 'k' })
  assert.equal(during, true)
  assert.equal(wx.getStorageSync('k').pending, undefined)
})

test('a login that never reached the gate leaves a mark that ensureSession heeds', async () => {
  const wx = fakeWx(gateOf({ '/login': inTurn(ok({ token: 'a' }), { errMsg: 'request:fail' }, ok({ token: 'b' })) }))
  const client = await loggedIn(wx)
  await rejection(client.login())
  assert.deepEqual(await clientOf(wx).ensureSession(), { renewed: true })
  assert.equal(wx.checks, 0)
})

// --- requests ---

test('a url is taken literally below baseUrl, with or without a slash', async () => {
  const wx = fakeWx(() => ok())
  const client = clientOf(wx, { baseUrl: `${HOME}/v1/` })
  for (const url of ['/api/orders', 'api/orders', '/orders']) await client.get(url, undefined, { login: false })
  assert.deepEqual(wx.requests.map((r) => r.url), [`${HOME}/v1/api/orders`, `${HOME}/v1/api/orders`, `${HOME}/v1/orders`])
})

test('the token goes to the host of baseUrl alone', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  const strangers = [
    'https://evil.example/x',
    'http://api.example.com/x',
    'https://api.example.com:8443/x',
    'https://api.example.com.evil.example/x',
    'https://api.example.com@evil.example/x',
    'https://api.example.com\\@evil.example/x',
    'https://api.example.com\t.evil.example/x',
    'https://user@api.example.com/x'
  ]
  for (const url of strangers) await client.get(url)
  assert.deepEqual(wx.requests.slice(1).map((r) => [r.url, r.header.Authorization]), strangers.map((url) => [url, undefined]))
  for (const url of [`${HOME}/api/x`, 'HTTPS://API.example.com/api/x', '//evil.example/x', '@evil.example']) await client.get(url)
  assert.ok(wx.requests.slice(-4).every((r) => r.header.Authorization && r.url.toLowerCase().startsWith(`${HOME}/`)))
})

test('another host cannot make the client log in', async () => {
  const wx = fakeWx(() => refusal('InvalidToken'))
  const res = await clientOf(wx).get('https://evil.example/x')
  assert.deepEqual([res.statusCode, wx.codes], [401, 0])
})

test('a 401 without the gate’s mark is an answer like any other', async () => {
  const bare = { statusCode: 401, data: { Code: 'InvalidToken' }, header: {}, errMsg: 'request:ok' }
  const wx = fakeWx(gateOf({ '/api/x': bare }))
  const client = await loggedIn(wx)
  assert.deepEqual(await client.get('/api/x'), bare)
  assert.equal(wx.codes, 1)
})

test('statuses of the business API resolve, as wx.request has it', async () => {
  for (const statusCode of [201, 204, 302, 403, 404, 500, 503]) {
    const client = await loggedIn(fakeWx(gateOf({ '/api/x': { ...ok(), statusCode } })))
    assert.equal((await client.get('/api/x')).statusCode, statusCode)
  }
})

for (const [spelling, header] of [
  ['in title case', { 'X-Wxgate-Error': 'InvalidToken' }],
  ['in lower case', { 'x-wxgate-error': 'InvalidToken' }],
  ['in upper case', { 'X-WXGATE-ERROR': 'InvalidToken' }],
  ['as an array', { 'X-Wxgate-Error': ['InvalidToken'] }]
]) {
  test(`the gate’s mark is known ${spelling}`, async () => {
    const wx = fakeWx(gateOf({ '/api/x': inTurn({ ...refusal('InvalidToken'), header }, ok('yes')) }))
    const client = await loggedIn(wx)
    assert.equal((await client.get('/api/x')).data, 'yes')
    assert.equal(wx.codes, 2)
  })
}

test('an answer without any headers is an answer', async () => {
  const client = await loggedIn(fakeWx(gateOf({ '/api/x': { statusCode: 200, data: 'yes', errMsg: 'request:ok' } })))
  assert.equal((await client.get('/api/x')).data, 'yes')
})

test('any other refusal of the gate rejects by its Code', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('UpstreamTimeout', 504) }))
  const client = await loggedIn(wx)
  const err = await rejection(client.get('/api/x'))
  assert.ok(err instanceof Error)
  assert.deepEqual([err.code, err.gate, err.response.statusCode], ['GATE_UpstreamTimeout', 'UpstreamTimeout', 504])
  assert.equal(err.errMsg, 'request:fail UpstreamTimeout.')
  assert.equal(wx.codes, 1)
})

// --- log in first ---

test('without a token a request logs in before it is sent, so nothing is sent twice', async () => {
  const wx = fakeWx(gateOf({}))
  await clientOf(wx).post('/api/orders', { item: 7 })
  assert.deepEqual(wx.requests.map((r) => r.url), [`${HOME}/login`, `${HOME}/api/orders`])
  assert.equal(wx.requests[1].header.Authorization, 'Bearer token-1')
})

test('with a token past its end a request logs in before it is sent', async () => {
  const wx = fakeWx(gateOf({ '/login': inTurn(ok({ token: 'old', expires_in: 29 }), ok({ token: 'new', expires_in: 7200 })) }))
  const client = await loggedIn(wx)
  await client.get('/api/news')
  assert.deepEqual(wx.sent('/api/news').map((r) => r.header.Authorization), ['Bearer new'])
})

test('a login first that fails is what the request rejects with, and nothing is sent', async () => {
  const wx = fakeWx(gateOf({ '/login': refusal('UserBlocked', 403) }))
  const err = await rejection(clientOf(wx).get('/api/x'))
  assert.deepEqual([err.code, err.gate, wx.sent('/api/x').length], ['LOGIN_REFUSED', 'UserBlocked', 0])
})

test('login: false without a token is sent at once, as a visitor', async () => {
  const wx = fakeWx(() => ok())
  await clientOf(wx).get('/api/news', undefined, { login: false })
  assert.deepEqual([wx.codes, wx.requests.length, wx.requests[0].header], [0, 1, {}])
})

// --- a dead token on a public page ---

test('a GET that the gate took as a visitor’s is sent again after one login', async () => {
  const wx = fakeWx(gateOf({ '/api/news': inTurn(dead('visitor'), ok('user')) }))
  const client = await loggedIn(wx)
  assert.equal((await client.get('/api/news')).data, 'user')
  assert.deepEqual(wx.sent('/api/news').map((r) => r.header.Authorization), ['Bearer token-1', 'Bearer token-2'])
})

test('a download that the gate took as a visitor’s is sent again after one login', async () => {
  const wx = fakeWx(gateOf({ '/api/f': inTurn(dead(), ok()) }))
  const client = await loggedIn(wx)
  await client.download({ url: '/api/f' })
  assert.deepEqual([wx.codes, wx.sent('/api/f').length], [2, 2])
})

for (const send of [
  (client) => client.post('/api/news', {}),
  (client) => client.put('/api/news', {}),
  (client) => client.patch('/api/news', {}),
  (client) => client.del('/api/news'),
  (client) => client.request({ url: '/api/news', method: 'HEAD' }),
  (client) => client.upload({ url: '/api/news', filePath: 'wxfile://a', name: 'f' }),
  (client) => client.get('/api/news', undefined, { replay: false })
]) {
  test(`one login, and the visitor’s answer: ${send}`, async () => {
    const wx = fakeWx(gateOf({ '/api/news': dead('visitor') }))
    const client = await loggedIn(wx)
    assert.equal((await send(client)).data, 'visitor')
    assert.deepEqual([wx.codes, wx.sent('/api/news').length, client.state().loggedIn], [2, 1, true])
  })
}

test('dead again after the replay, that answer stands', async () => {
  const wx = fakeWx(gateOf({ '/api/news': inTurn(dead('first'), dead('second')) }))
  const client = await loggedIn(wx)
  assert.equal((await client.get('/api/news')).data, 'second')
  assert.deepEqual([wx.codes, wx.sent('/api/news').length], [2, 2])
})

test('if the login after it fails, the visitor’s answer stands', async () => {
  for (const method of ['GET', 'POST']) {
    const wx = fakeWx(gateOf({ '/api/news': dead('visitor'), '/login': inTurn(ok({ token: 't' }), refusal('UserBlocked', 403)) }))
    const client = await loggedIn(wx)
    assert.equal((await client.request({ url: '/api/news', method })).data, 'visitor')
  }
})

test('a refusal of the gate on a public page stays one, whatever it says of the token', async () => {
  const both = { ...refusal('UpstreamTimeout', 504), header: { 'X-Wxgate-Error': 'UpstreamTimeout', 'X-Wxgate-Token': 'dead' } }
  const wx = fakeWx(gateOf({ '/api/news': both }))
  const client = await loggedIn(wx)
  assert.equal((await rejection(client.post('/api/news', {}))).code, 'GATE_UpstreamTimeout')
  assert.equal(wx.codes, 2)
})

test('login: false takes the visitor’s answer and makes no login; the next request logs in first', async () => {
  const wx = fakeWx(gateOf({ '/api/news': dead('visitor') }))
  const client = await loggedIn(wx)
  assert.equal((await client.get('/api/news', undefined, { login: false })).data, 'visitor')
  assert.equal(wx.codes, 1)
  await client.get('/api/x')
  assert.deepEqual(wx.sent('/api/x').map((r) => r.header.Authorization), ['Bearer token-2'])
})

test('another host’s mark of a dead token means nothing', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  wx.request = (o) => setTimeout(o.success, 0, dead('theirs'))
  assert.equal((await client.get('https://other.example.com/x')).data, 'theirs')
  assert.equal(client.state().loggedIn, true)
})

// --- WeChat for PC ---

test('a refusal that WeChat for PC hands to fail is read: one login, one replay', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok('yes')) }))
  wx.pc = true
  const client = await loggedIn(wx)
  assert.equal((await client.get('/api/x')).data, 'yes')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [2, 2])
})

test('a status that WeChat for PC hands to fail is an answer like any other', async () => {
  for (const statusCode of [400, 404, 500]) {
    const wx = fakeWx(gateOf({ '/api/x': { ...ok('theirs'), statusCode } }))
    wx.pc = true
    const res = await (await loggedIn(wx)).get('/api/x')
    assert.deepEqual([res.statusCode, res.data], [statusCode, 'theirs'])
  }
})

test('other refusals that WeChat for PC hands to fail have their codes', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('TooManyRequests', 429), '/decrypt': refusal('DecryptFailed', 422) }))
  wx.pc = true
  const client = await loggedIn(wx)
  assert.equal((await rejection(client.get('/api/x'))).code, 'GATE_TooManyRequests')
  assert.equal((await rejection(client.decrypt(DETAIL, { kind: 'user' }))).code, 'TAP_AGAIN')
})

test('a login that WeChat for PC reports as failed is read: the reason, and one more try', async () => {
  const wx = fakeWx(gateOf({ '/login': inTurn(refusal('WeChatBusy', 503), refusal('UserBlocked', 403)) }))
  wx.pc = true
  const err = await rejection(clientOf(wx).login())
  assert.deepEqual([err.code, err.gate, wx.codes], ['LOGIN_REFUSED', 'UserBlocked', 2])
})

test('an upload and a download on WeChat for PC are read by the headers that the task reported', async () => {
  for (const [verb, options] of [['upload', { filePath: 'wxfile://a', name: 'f' }], ['download', {}]]) {
    const wx = fakeWx(gateOf({ '/api/f': inTurn(refusal('InvalidToken'), ok()) }))
    wx.pc = true
    const client = await loggedIn(wx)
    assert.equal((await client[verb]({ url: '/api/f', ...options })).statusCode, 200)
    assert.equal(wx.codes, 2)
  }
})

test('a status may be a text there', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  wx.request = (o) => setTimeout(o.fail, 0, { errMsg: 'request:fail', statusCode: '404', header: {} })
  assert.equal((await client.get('/api/x')).statusCode, '404')
})

test('headers may be called headers there', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  const answers = [{ statusCode: 401, headers: { 'X-Wxgate-Error': 'InvalidToken' } }]
  const real = wx.request
  wx.request = (o) => (o.url.endsWith('/api/x') && answers.length ? setTimeout(o.fail, 0, answers.shift()) : real(o))
  assert.equal((await client.get('/api/x')).statusCode, 200)
  assert.equal(wx.codes, 2)
})

// --- replay ---

test('login: false sends the stored token, and never logs in', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const client = await loggedIn(wx)
  const err = await rejection(client.request({ url: '/api/x', login: false }))
  assert.equal(err.code, 'NOT_LOGGED_IN')
  assert.equal(wx.sent('/api/x')[0].header.Authorization, 'Bearer token-1')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [1, 1])
})

test('replay: false logs in, but does not send again', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const client = await loggedIn(wx)
  const err = await rejection(client.request({ url: '/api/x', replay: false }))
  assert.equal(err.code, 'NOT_LOGGED_IN')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [2, 1])
})

test('a replay that is refused as well is the end of it', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const client = await loggedIn(wx)
  const err = await rejection(client.get('/api/x'))
  assert.equal(err.code, 'NOT_LOGGED_IN')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [2, 2])
})

test('nothing is sent again after a timeout or a network failure', async () => {
  for (const [errMsg, code] of [
    ['request:fail timeout', 'TIMEOUT'],
    ['request:fail errcode:-118 cronet_error_code:-118 error_msg:net::ERR_CONNECTION_TIMED_OUT', 'TIMEOUT'],
    ['request:fail interrupted', 'NETWORK'],
    ['request:fail url not in domain list', 'DOMAIN'],
    ['request:fail errcode:-103 error_msg:net::ERR_CONNECTION_ABORTED', 'NETWORK'],
    ['request:fail error_msg:net::ERR_ACCESS_DENIED', 'NETWORK']
  ]) {
    const wx = fakeWx(gateOf({ '/api/x': { errMsg } }))
    const client = await loggedIn(wx)
    const err = await rejection(client.post('/api/x', {}))
    assert.deepEqual([err.code, err.errMsg, wx.sent('/api/x').length], [code, errMsg, 1])
  }
})

test('a wx.request that throws is a failure of the network, not of the program', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  wx.request = () => {
    throw new Error('parameter error')
  }
  assert.equal((await rejection(client.get('/api/x'))).code, 'NETWORK')
})

test('headers are built when sending: the replay carries the new token, the caller’s object stays as it was', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok()) }))
  const client = await loggedIn(wx)
  const options = { url: '/api/x', header: { 'X-Mine': '1', authorization: 'Bearer old' } }
  await client.request(options)
  assert.deepEqual(wx.sent('/api/x').map((r) => r.header), [
    { 'X-Mine': '1', Authorization: 'Bearer token-1' },
    { 'X-Mine': '1', Authorization: 'Bearer token-2' }
  ])
  assert.deepEqual(options, { url: '/api/x', header: { 'X-Mine': '1', authorization: 'Bearer old' } })
})

test('a caller’s own Authorization, however spelt, does not go beside the token', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  for (const name of ['authorization', 'Authorization', 'AUTHORIZATION']) {
    await client.request({ url: '/api/x', header: { [name]: 'Bearer old' } })
    assert.deepEqual(wx.requests.at(-1).header, { Authorization: 'Bearer token-1' })
  }
})

test('a refusal of an older token is replayed without another login', async () => {
  let answerFirst
  const first = new Promise((resolve) => (answerFirst = resolve))
  const wx = fakeWx(gateOf({ '/api/x': inTurn(first, ok('yes')) }))
  const client = await loggedIn(wx)
  const late = client.get('/api/x')
  await client.login()
  answerFirst(refusal('InvalidToken'))
  assert.equal((await late).data, 'yes')
  assert.equal(wx.codes, 2)
})

test('get, post, put and del send their method, data and options', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  for (const verb of ['get', 'post', 'put', 'del']) await client[verb]('/api/x', { a: 1 }, { timeout: 9, dataType: 'text' })
  assert.deepEqual(
    wx.sent('/api/x').map((r) => [r.method, r.data, r.timeout, r.dataType]),
    ['GET', 'POST', 'PUT', 'DELETE'].map((method) => [method, { a: 1 }, 9, 'text'])
  )
})

for (const [name, send] of [
  ['patch', (client) => client.patch('/api/x', { a: 1 }, { header: { 'X-Mine': '1' } })],
  ['request', (client) => client.request({ url: '/api/x', method: 'patch', data: { a: 1 }, header: { 'X-Mine': '1' } })]
]) {
  test(`PATCH by ${name} goes out as POST that says so, since wx.request has none`, async () => {
    const wx = fakeWx(gateOf({}))
    await send(await loggedIn(wx))
    const [{ method, data, header }] = wx.sent('/api/x')
    const own = { 'X-Mine': '1', Authorization: 'Bearer token-1', 'X-HTTP-Method-Override': 'PATCH' }
    assert.deepEqual([method, data, header], ['POST', { a: 1 }, own])
  })
}

test('PATCH sends one override header, whatever the caller spelled', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  await client.patch('/api/x', {}, { header: { 'x-http-method-override': 'DELETE', 'X-HTTP-METHOD-OVERRIDE': 'PATCH' } })
  assert.deepEqual(wx.sent('/api/x')[0].header, { Authorization: 'Bearer token-1', 'X-HTTP-Method-Override': 'PATCH' })
})

test('a timeout is the request’s own, else the client’s, else WeChat’s', async () => {
  const wx = fakeWx(gateOf({}))
  await clientOf(wx, { timeout: 7 }).get('/api/x', undefined, { timeout: 5 })
  await clientOf(wx, { timeout: 7 }).get('/api/x')
  await clientOf(wx).get('/api/x')
  assert.deepEqual(wx.sent('/api/x').map((r) => ('timeout' in r ? r.timeout : 'none')), [5, 7, 'none'])
})

test('callbacks are told as wx tells them: success or fail, then complete', async () => {
  const wx = fakeWx(gateOf({ '/api/bad': { errMsg: 'request:fail timeout' } }))
  const heard = []
  const hear = (name) => (it) => heard.push([name, it.statusCode || it.code])
  const callbacks = { success: hear('success'), fail: hear('fail'), complete: hear('complete') }
  await clientOf(wx).request({ url: '/api/good', ...callbacks })
  await rejection(clientOf(wx).request({ url: '/api/bad', ...callbacks }))
  assert.deepEqual(heard, [['success', 200], ['complete', 200], ['fail', 'TIMEOUT'], ['complete', 'TIMEOUT']])
})

test('a wx that calls back twice is heard once', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  wx.request = (o) => {
    o.success(ok('first'))
    o.fail({ errMsg: 'request:fail' })
    o.success(ok('second'))
  }
  assert.equal((await client.get('/api/x')).data, 'first')
})

test('with one callback alone, a failure is no unhandled rejection', async () => {
  const wx = fakeWx(() => ({ errMsg: 'request:fail' }))
  for (const name of ['success', 'complete']) clientOf(wx).request({ url: '/api/x', [name]: () => undefined })
  await pause(10)
})

test('callbacks are told once, also when the request was replayed', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok()) }))
  let completed = 0
  await clientOf(wx).request({ url: '/api/x', complete: () => completed++ })
  await pause()
  assert.equal(completed, 1)
})

test('abort ends a request at once, and its task', async () => {
  const wx = fakeWx(gateOf({ '/api/x': null }))
  const promise = (await loggedIn(wx)).get('/api/x')
  promise.abort()
  const err = await rejection(promise)
  assert.deepEqual([err.code, err.errMsg, wx.sent('/api/x')[0].aborted], ['ABORTED', 'request:fail abort', true])
})

test('abort during the login before a request drops the request, not the login', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const promise = client.get('/api/x')
  const other = client.get('/api/y')
  promise.abort()
  assert.equal((await rejection(promise)).code, 'ABORTED')
  assert.equal((await other).statusCode, 200)
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [1, 0])
})

test('abort during the login after a refusal drops the replay, not the login', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const client = await loggedIn(wx)
  const login = new Promise((resolve) => client.on('login', resolve))
  const replays = []
  client.on('replay', (it) => replays.push(it))
  const real = wx.login
  wx.login = (o) => {
    promise.abort()
    real(o)
  }
  const promise = client.get('/api/x')
  assert.equal((await rejection(promise)).code, 'ABORTED')
  assert.equal((await login).token, 'token-2')
  await pause()
  assert.deepEqual([wx.sent('/api/x').length, replays], [1, []])
})

test('abort reaches the replay’s task', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), null) }))
  const client = clientOf(wx)
  client.on('replay', () => setTimeout(() => promise.abort(), 2))
  const promise = client.get('/api/x')
  assert.equal((await rejection(promise)).code, 'ABORTED')
  assert.equal(wx.sent('/api/x')[1].aborted, true)
})

test('an aborted or finished request is not disturbed by another abort', async () => {
  const wx = fakeWx(gateOf({ '/api/x': ok('yes') }))
  const promise = (await loggedIn(wx)).get('/api/x')
  assert.equal((await promise).data, 'yes')
  promise.abort()
  assert.equal((await promise).data, 'yes')
  assert.equal(wx.sent('/api/x')[0].aborted, undefined)
})

test('a task’s own abort is told as ABORTED', async () => {
  const client = await loggedIn(fakeWx(gateOf({ '/api/x': null })))
  const err = await rejection(client.request({ url: '/api/x', onTask: (task) => task.abort() }))
  assert.equal(err.code, 'ABORTED')
})

test('onTask gets each task, the replay’s as well', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok()) }))
  const tasks = []
  const client = await loggedIn(wx)
  await client.request({ url: '/api/x', onTask: (task) => tasks.push(task) })
  assert.equal(new Set(tasks).size, 2)
})

for (const [verb, api] of [['upload', 'uploadFile'], ['download', 'downloadFile']]) {
  test(`${verb} follows the same rules, with the headers that only the task tells`, async () => {
    const wx = fakeWx(gateOf({ '/api/f': inTurn(refusal('InvalidToken'), ok()) }))
    const client = await loggedIn(wx)
    const res = await client[verb]({ url: '/api/f', filePath: 'wxfile://a', name: 'f' })
    assert.deepEqual([res.statusCode, wx.codes], [200, 2])
    assert.deepEqual(wx.sent('/api/f').map((r) => r.api), [api, api])
    assert.equal(wx.sent('/api/f')[1].header.Authorization, 'Bearer token-2')
  })
}

// --- storage and events ---

test('a storage that fails is an event, and the client goes on', async () => {
  const wx = fakeWx(gateOf({}))
  const broken = () => {
    throw new Error('full')
  }
  Object.assign(wx, { getStorageSync: broken, setStorageSync: broken, removeStorageSync: broken })
  const client = clientOf(wx)
  const errors = []
  client.on('storageError', (e) => errors.push(e.message))
  await client.login()
  await client.get('/api/x')
  assert.equal(wx.sent('/api/x')[0].header.Authorization, 'Bearer token-1')
  assert.deepEqual([...new Set(errors)], ['full'])
})

test('a listener of storageError may look at the state', async () => {
  const wx = fakeWx(gateOf({}))
  wx.getStorageSync = wx.setStorageSync = wx.removeStorageSync = () => {
    throw new Error('broken')
  }
  const client = clientOf(wx)
  let heard = 0
  client.on('storageError', () => {
    heard++
    client.state()
  })
  await client.login()
  assert.equal(heard, 1)
})

test('memory stands in for the storage only while that throws', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  const real = wx.getStorageSync
  wx.getStorageSync = () => {
    throw new Error('busy')
  }
  assert.equal(client.state().loggedIn, true)
  wx.getStorageSync = real
  wx.storage.clear()
  assert.deepEqual(client.state(), { loggedIn: false, loggedOut: false, expiresAt: undefined })
})

test('what could not be stored is stored once the storage can be written again', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const real = wx.setStorageSync
  wx.setStorageSync = () => {
    throw new Error('full')
  }
  await client.login()
  wx.setStorageSync = real
  assert.equal(client.state().loggedIn, true)
  assert.equal(clientOf(wx).state().loggedIn, true)
  wx.storage.clear()
  assert.equal(client.state().loggedIn, false)
})

test('what others left in the storage is not taken for a session', async () => {
  for (const left of [null, 'text', 7, [], {}, { token: 7 }]) {
    const wx = fakeWx(() => ok())
    wx.getStorageSync = () => left
    const client = clientOf(wx)
    assert.deepEqual(client.state(), { loggedIn: false, loggedOut: false, expiresAt: undefined })
    await client.get('/api/x', undefined, { login: false })
    assert.deepEqual(wx.requests[0].header, {})
  }
})

test('a storage that cannot be written holds no old token, and the client goes on with the new one', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  wx.setStorageSync = () => {
    throw new Error('full')
  }
  await client.login()
  await client.get('/api/x')
  await client.get('/api/x')
  assert.deepEqual([wx.codes, wx.storage.size], [2, 0])
  assert.deepEqual(wx.sent('/api/x').map((r) => r.header.Authorization), ['Bearer token-2', 'Bearer token-2'])
})

test('a logout that cannot be written still forgets the token', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  wx.setStorageSync = () => {
    throw new Error('full')
  }
  await client.logout()
  assert.equal((await rejection(client.get('/api/x'))).code, 'LOGGED_OUT')
  assert.equal(clientOf(wx).state().loggedIn, false)
})

test('a phone whose clock was set back sends what it has; one whose clock ran ahead logs in first', async (t) => {
  const now = Date.now()
  t.mock.timers.enable({ apis: ['Date'], now })
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  t.mock.timers.setTime(now - 86400000)
  await client.get('/api/x')
  assert.equal(wx.codes, 1)
  t.mock.timers.setTime(now + 86400000)
  await client.get('/api/x')
  assert.equal(wx.codes, 2)
})

test('events tell logins, replays and failed logins, until off', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok()) }))
  const client = await loggedIn(wx)
  const heard = []
  const offs = ['login', 'replay', 'loginError', 'logout'].map((name) => client.on(name, (it) => heard.push([name, it])))
  await client.get('/api/x')
  wx.login = (o) => o.fail({ errMsg: 'login:fail' })
  const err = await rejection(client.login())
  await client.logout()
  offs.forEach((off) => off())
  await rejection(client.login())
  assert.deepEqual(heard.map(([name]) => name), ['login', 'replay', 'loginError', 'logout'])
  assert.deepEqual([heard[1][1], heard[2][1], heard[3][1]], [{ url: `${HOME}/api/x` }, err, { everywhere: false }])
})

test('a listener that throws, or takes itself off, harms nobody', async (t) => {
  t.mock.method(console, 'error', () => undefined)
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  let heard = 0
  const off = client.on('login', () => {
    off()
    throw new Error('mine')
  })
  client.on('login', () => heard++)
  await client.login()
  await client.login()
  assert.equal(heard, 2)
  assert.equal(console.error.mock.calls.length, 1)
})

// --- logout ---

test('logout tells the gate and forgets the token', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  assert.equal(await client.logout(), undefined)
  const [request] = wx.sent('/logout')
  assert.deepEqual([request.header.Authorization, request.data], ['Bearer token-1', {}])
  assert.equal(stored(wx).token, undefined)
})

test('logout forgets the token even when the gate is not reached, and says so', async () => {
  const wx = fakeWx(gateOf({ '/logout': { errMsg: 'request:fail' } }))
  const client = await loggedIn(wx)
  const leaving = client.logout()
  assert.equal(stored(wx).token, undefined)
  assert.equal((await rejection(leaving)).code, 'NETWORK')
  await client.get('/api/x', undefined, { login: false })
  assert.equal(wx.sent('/api/x')[0].header.Authorization, undefined)
})

test('logout with a dead token is done, without one there is nothing to tell', async () => {
  const wx = fakeWx(gateOf({ '/logout': refusal('InvalidToken') }))
  const client = await loggedIn(wx)
  await client.logout()
  await client.logout()
  assert.deepEqual([wx.sent('/logout').length, wx.codes], [1, 1])
})

test('logout everywhere says so to the gate, and fails where nobody was logged out', async () => {
  const wx = fakeWx(gateOf({ '/logout': inTurn({ ...ok(''), statusCode: 204 }, refusal('InvalidToken')) }))
  const client = await loggedIn(wx)
  await client.logout({ everywhere: true })
  assert.deepEqual(wx.sent('/logout')[0].data, { everywhere: true })
  assert.equal((await rejection(client.logout({ everywhere: true }))).code, 'NOT_LOGGED_IN')
})

/** What may not log in by itself. */
const NEEDING = {
  get: (client) => client.get('/api/x'),
  post: (client) => client.post('/api/x', {}),
  patch: (client) => client.patch('/api/x', {}),
  upload: (client) => client.upload({ url: '/api/x', filePath: 'a', name: 'f' }),
  download: (client) => client.download({ url: '/api/x' }),
  ensureLogin: (client) => client.ensureLogin(),
  ensureSession: (client) => client.ensureSession(),
  decrypt: (client) => client.decrypt(DETAIL, { kind: 'user' }),
  phone: (client) => client.phone({ code: 'c' }),
  sign: (client) => client.sign('{}')
}

for (const [name, call] of Object.entries(NEEDING)) {
  test(`after a logout ${name} rejects with LOGGED_OUT, also after a restart, and asks nobody`, async () => {
    const wx = fakeWx(gateOf({}))
    const client = await loggedIn(wx)
    await client.logout()
    const before = wx.requests.length
    assert.equal((await rejection(call(client))).code, 'LOGGED_OUT')
    assert.equal((await rejection(call(clientOf(wx)))).code, 'LOGGED_OUT')
    assert.deepEqual([wx.codes, wx.requests.length], [1, before])
  })
}

test('after a logout login: false goes as a visitor', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  await client.logout()
  assert.equal((await client.get('/api/news', undefined, { login: false })).statusCode, 200)
  assert.deepEqual(wx.sent('/api/news')[0].header, {})
})

test('after a logout another host is called as ever', async () => {
  const client = await loggedIn(fakeWx(gateOf({})))
  await client.logout()
  assert.equal((await client.get('https://other.example.com/x')).statusCode, 200)
})

test('only a login ends logged out, and a failed one does not', async () => {
  const wx = fakeWx(gateOf({ '/login': inTurn(ok({ token: 'a' }), refusal('UserBlocked', 403), ok({ token: 'b' })) }))
  const client = await loggedIn(wx)
  await client.logout()
  await rejection(client.login())
  assert.equal((await rejection(client.get('/api/x'))).code, 'LOGGED_OUT')
  await client.login()
  assert.equal((await client.get('/api/x')).statusCode, 200)
})

test('a logout without a session counts as well', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  await client.logout()
  assert.equal((await rejection(client.get('/api/x'))).code, 'LOGGED_OUT')
  assert.equal(wx.requests.length, 0)
})

test('a storage that was cleared is neither in nor out', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  await client.logout()
  wx.storage.clear()
  assert.deepEqual(client.state(), { loggedIn: false, loggedOut: false, expiresAt: undefined })
  assert.equal((await client.get('/api/x')).statusCode, 200)
})

test('state tells in, out, neither and past its end, and asks nobody', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1000 })
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  assert.deepEqual(client.state(), { loggedIn: false, loggedOut: false, expiresAt: undefined })
  await client.login()
  assert.deepEqual(client.state(), { loggedIn: true, loggedOut: false, expiresAt: 7201000 })
  t.mock.timers.setTime(7171000)
  assert.deepEqual(client.state(), { loggedIn: false, loggedOut: false, expiresAt: 7201000 })
  await client.logout()
  assert.deepEqual(client.state(), { loggedIn: false, loggedOut: true, expiresAt: undefined })
  assert.deepEqual([wx.codes, wx.requests.length], [1, 2])
})

// --- encrypted data ---

test('ensureSession asks wx.checkSession once for several callers', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  const answers = await Promise.all([client.ensureSession(), client.ensureSession()])
  assert.deepEqual(answers, [{ renewed: false }, { renewed: false }])
  assert.deepEqual([wx.checks, wx.codes, wx.sent('/session').length], [1, 1, 1])
})

test('ensureSession is not poisoned by one bad moment', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const login = wx.login
  wx.login = (o) => o.fail({ errMsg: 'login:fail' })
  await rejection(client.ensureSession())
  wx.login = login
  assert.deepEqual(await client.ensureSession(), { renewed: true })
  assert.deepEqual(await client.ensureSession(), { renewed: false })
})

test('an ensureSession that nobody listens to may fail', async () => {
  const wx = fakeWx(gateOf({ '/login': refusal('UserBlocked', 403) }))
  clientOf(wx).ensureSession()
  await pause(10)
  assert.equal(wx.codes, 1)
})

test('the gate’s own routes are called with their methods', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': opened }))
  const client = await loggedIn(wx)
  await client.ensureSession()
  await client.decrypt(DETAIL, { kind: 'user' })
  await client.logout()
  const sent = wx.requests.map((r) => [r.url.replace(HOME, ''), r.method])
  assert.deepEqual(sent, [['/login', 'POST'], ['/session', undefined], ['/decrypt', 'POST'], ['/logout', 'POST']])
})

test('ensureSession takes only a clear no of the gate for a no', async () => {
  for (const [answer, renewed] of [
    [ok({ valid: true }), false],
    [ok({ valid: false }), true],
    [refusal('InvalidToken'), true],
    [refusal('WeChatBusy', 503), false],
    [{ errMsg: 'request:fail' }, false]
  ]) {
    const client = await loggedIn(fakeWx(gateOf({ '/session': answer })))
    assert.deepEqual(await client.ensureSession(), { renewed })
  }
})

test('requests never ask wx.checkSession', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  await client.get('/api/x')
  await client.ensureLogin()
  assert.equal(wx.checks, 0)
})

test('decrypt sends what the gate wants, and gives what the gate opened', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': opened }))
  const client = await loggedIn(wx)
  const detail = { ...DETAIL, rawData: '{}', signature: 'ab', userInfo: {} }
  assert.deepEqual(await client.decrypt(detail, { kind: 'user' }), opened.data)
  const sent = { kind: 'user', encryptedData: 'AAAA', iv: 'BBBB', rawData: '{}', signature: 'ab' }
  assert.deepEqual(wx.sent('/decrypt')[0].data, sent)
})

const SPOILED = [
  ['without a token', {}, (client, wx) => wx.storage.clear()],
  ['with a refused token', { '/decrypt': inTurn(refusal('InvalidToken'), null) }, () => 0],
  ['with a stale WeChat session', {}, (client, wx) => (wx.checkSession = (o) => o.fail({ errMsg: 'checkSession:fail' }))],
  ['with data of another key', { '/decrypt': inTurn(refusal('DecryptFailed', 422), null) }, () => 0]
]

for (const [name, routes, spoil] of SPOILED) {
  /** Answers as the routes say, then as `last`. */
  const decrypted = async (last) => {
    const first = routes['/decrypt']
    const wx = fakeWx(gateOf({ '/decrypt': (request) => (first && first(request)) || last }))
    const client = await loggedIn(wx)
    spoil(client, wx)
    return { wx, outcome: client.decrypt(DETAIL, { kind: 'user' }) }
  }

  test(`decrypt ${name} logs in once, and then tries the data in hand`, async () => {
    const { wx, outcome } = await decrypted(opened)
    assert.deepEqual(await outcome, opened.data)
    assert.equal(wx.codes, 2)
  })

  test(`decrypt ${name} asks to tap again if the data do not open after the login`, async () => {
    const { wx, outcome } = await decrypted(refusal('DecryptFailed', 422))
    assert.equal((await rejection(outcome)).code, 'TAP_AGAIN')
    assert.equal(wx.codes, 2)
  })
}

test('a tap while way 1 is under way waits for it, and then opens without another check', async () => {
  const login = later()
  const wx = fakeWx(gateOf({ '/login': login.promise, '/decrypt': opened }))
  const client = clientOf(wx)
  const opening = client.ensureSession()
  const tapped = client.decrypt(DETAIL, { kind: 'user' })
  await pause()
  assert.equal(wx.sent('/decrypt').length, 0)
  login.give(ok({ token: 't', expires_in: 7200 }))
  assert.deepEqual(await tapped, opened.data)
  assert.deepEqual(await opening, { renewed: true })
  assert.deepEqual([wx.codes, wx.checks], [1, 0])
})

test('a tap while way 1 finds all well waits for it, and then opens', async () => {
  const session = later()
  const wx = fakeWx(gateOf({ '/session': session.promise, '/decrypt': opened }))
  const client = await loggedIn(wx)
  client.ensureSession()
  const tapped = client.decrypt(DETAIL, { kind: 'user' })
  await pause()
  session.give(ok({ valid: true }))
  assert.deepEqual(await tapped, opened.data)
  assert.deepEqual([wx.codes, wx.checks], [1, 1])
})

test('a tap while way 1 fails checks for itself', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': opened }))
  const client = clientOf(wx)
  const login = wx.login
  wx.login = (o) => setTimeout(o.fail, 0, { errMsg: 'login:fail', errno: 1402101 })
  const opening = rejection(client.ensureSession())
  const tapped = client.decrypt(DETAIL, { kind: 'user' })
  await opening
  wx.login = login
  assert.deepEqual(await tapped, opened.data)
})

test('a tap while a login is under way waits for it, and then opens', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': opened }))
  const client = clientOf(wx)
  client.login()
  assert.deepEqual(await client.decrypt(DETAIL, { kind: 'user' }), opened.data)
  assert.deepEqual([wx.codes, wx.checks], [1, 0])
})

test('decrypt that met a login of somebody else tries again, since the gate holds the key before', async () => {
  let answer
  const first = new Promise((resolve) => (answer = resolve))
  const wx = fakeWx(gateOf({ '/decrypt': inTurn(first, opened) }))
  const client = await loggedIn(wx)
  const promise = client.decrypt(DETAIL, { kind: 'user' })
  await pause()
  await client.login()
  answer(refusal('InvalidToken'))
  assert.deepEqual(await promise, opened.data)
  assert.equal(wx.codes, 2)
})

test('other refusals of decrypt make no login', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': refusal('TooManyRequests', 429) }))
  const client = await loggedIn(wx)
  assert.equal((await rejection(client.decrypt(DETAIL, { kind: 'user' }))).code, 'GATE_TooManyRequests')
  assert.equal(wx.codes, 1)
})

test('a detail without data rejects with what WeChat said', async () => {
  const client = clientOf(fakeWx(() => ok()))
  const detail = { errMsg: 'getPhoneNumber:fail user deny', errno: 103 }
  for (const call of [() => client.phone(detail), () => client.decrypt(detail, { kind: 'user' })]) {
    const err = await rejection(call())
    assert.deepEqual([err.code, err.errMsg, err.errno, err.cause], ['USER_DENIED', detail.errMsg, 103, detail])
  }
  for (const none of [undefined, {}, { errMsg: 'getUserInfo:ok' }]) {
    assert.equal((await rejection(client.phone(none))).code, 'UNSUPPORTED')
  }
})

test('a phone code is sent once logged in, whatever encrypted data came with it', async () => {
  const wx = fakeWx(gateOf({ '/phone': opened }))
  assert.deepEqual(await clientOf(wx).phone({ ...DETAIL, code: 'c' }), opened.data)
  assert.deepEqual(wx.sent('/phone').map((r) => r.data), [{ code: 'c' }])
  assert.deepEqual([wx.codes, wx.checks, wx.sent('/decrypt').length], [1, 0, 0])
})

test('a phone code that WeChat refuses means to tap again', async () => {
  const client = clientOf(fakeWx(gateOf({ '/phone': refusal('InvalidCode') })))
  assert.equal((await rejection(client.phone({ code: 'c' }))).code, 'TAP_AGAIN')
})

test('sign sends the text as it is, and gives the signature', async () => {
  const wx = fakeWx(gateOf({ '/sign': ok({ signature: 'ab12' }) }))
  const data = '{"mode":"goods","offerId":"中"}'
  assert.equal(await clientOf(wx).sign(data), 'ab12')
  assert.deepEqual(wx.sent('/sign').map((r) => r.data), [{ data }])
})

test('sign waits for way 1, since WeChat takes a signature by the current key alone', async () => {
  const wx = fakeWx(gateOf({ '/session': ok({ valid: false }), '/sign': ok({ signature: 'ab12' }) }))
  const client = await loggedIn(wx)
  client.ensureSession()
  await client.sign('{}')
  assert.equal(wx.sent('/sign')[0].header.Authorization, 'Bearer token-2')
})

test('sign waits for a login under way', async () => {
  const wx = fakeWx(gateOf({ '/sign': ok({ signature: 'ab12' }) }))
  const client = await loggedIn(wx)
  client.login()
  await client.sign('{}')
  assert.equal(wx.sent('/sign')[0].header.Authorization, 'Bearer token-2')
})

test('sign logs in first after a code whose answer was lost: WeChat may have changed the key', async () => {
  const wx = fakeWx(gateOf({ '/sign': ok({ signature: 'ab12' }) }))
  const client = await loggedIn(wx)
  const { request } = wx
  wx.request = (o) => setTimeout(() => o.fail({ errMsg: 'request:fail timeout' }), 0)
  await rejection(client.login())
  wx.request = request
  await client.sign('{}')
  assert.equal(wx.sent('/sign')[0].header.Authorization, 'Bearer token-2')
})

test('sign with a refused token logs in and signs once more', async () => {
  const wx = fakeWx(gateOf({ '/sign': inTurn(refusal('InvalidToken'), ok({ signature: 'ab12' })) }))
  const client = await loggedIn(wx)
  assert.equal(await client.sign('{}'), 'ab12')
})

// --- consent ---

test('privacy needs nothing on base libraries without it', async () => {
  const client = clientOf(fakeWx(() => ok()))
  assert.equal((await client.privacy.status()).needAuthorization, false)
  await client.privacy.require()
  client.privacy.onNeed(() => assert.fail('nobody asks'))()
})

test('where the last sheet is gone, who asks is answered at once', () => {
  const answers = []
  const wx = { onNeedPrivacyAuthorization: (listener) => (wx.listener = listener) }
  clientOf(wx).privacy.onNeed(() => undefined)()
  wx.listener((answer) => answers.push(answer))
  assert.deepEqual(answers, [{ event: 'disagree' }])
})

/** A phone with two pages' handlers; API `name` waits, and `answers` are what it and others were answered. */
function twoPages() {
  const wx = { onNeedPrivacyAuthorization: (listener) => (wx.listener = listener) }
  const client = clientOf(wx)
  const answers = []
  const heard = []
  const page = (name) => client.privacy.onNeed((sheet) => heard.push([name, sheet]))
  const wait = (referrer) => wx.listener((answer) => answers.push([referrer, answer]), { referrer })
  return { page, wait, answers, heard }
}

test('a sheet that unloads leaves the one before in charge', () => {
  const { page, wait, answers, heard } = twoPages()
  page('first')
  const off = page('second')
  wait('getLocation')
  off()
  wait('getLocation')
  assert.deepEqual(heard.map(([name]) => name), ['second', 'first'])
  assert.deepEqual(answers, [['getLocation', { event: 'disagree' }]])
})

test('taking one page’s handler off answers only what that page shows', () => {
  const { page, wait, answers } = twoPages()
  const off = page('a')
  wait('of a')
  page('b')
  wait('of b')
  off()
  assert.deepEqual(answers, [['of a', { event: 'disagree' }]])
  off()
  assert.equal(answers.length, 1)
})

test('a page’s sheet answers all that it was shown for, and nothing of another page’s', () => {
  const { page, wait, answers, heard } = twoPages()
  page('a')
  wait('of a')
  page('b')
  wait('of b')
  wait('of b too')
  heard[1][1].agree('button-b')
  const agreed = { event: 'agree', buttonId: 'button-b' }
  assert.deepEqual(answers, [['of b', agreed], ['of b too', agreed]])
  heard[0][1].disagree()
  assert.deepEqual(answers.slice(2), [['of a', { event: 'disagree' }]])
})

test('a handler of one client that is taken off leaves the other client’s in charge', () => {
  const wx = { onNeedPrivacyAuthorization: (listener) => (wx.listener = listener) }
  const heard = []
  const answers = []
  const show = (name) => clientOf(wx).privacy.onNeed((sheet) => heard.push([name, sheet]))
  const [offMain, offSub] = [show('main package'), show('subpackage')]
  const ask = () => wx.listener((answer) => answers.push(answer), { referrer: 'getLocation' })
  offSub()
  ask()
  assert.deepEqual([heard.map(([name]) => name), answers], [['main package'], []])
  offMain()
  ask()
  assert.deepEqual(answers, [{ event: 'disagree' }, { event: 'disagree' }])
})
