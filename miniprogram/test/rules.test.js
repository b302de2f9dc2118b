'use strict'
// The client's rules one by one, on a wx in memory.
const assert = require('node:assert/strict')
const test = require('node:test')
const { createClient } = require('../miniprogram_dist/index.js')
const { HOME, ok, refusal, fakeWx, strictGate, clientOf, rejection, pause } = require('./fakes')

const DETAIL = { errMsg: 'getUserInfo:ok', encryptedData: 'AAAA', iv: 'BBBB' }
const opened = ok({ data: { nickName: 'A' }, assertion: 'jwt' })

/** A gate by path: values are answers, or functions of the request; /login gives token-1, token-2 … */
function gateOf(routes) {
  let logins = 0
  const login = () => ok({ token: `token-${++logins}`, expires_in: 7200 })
  return (request, wx) => {
    const path = request.url.replace(HOME, '').split('?')[0]
    const route = { '/login': login, '/session': ok({ valid: true }), ...routes }[path]
    if (route === undefined) return ok({ path })
    return typeof route === 'function' ? route(request, wx) : route
  }
}

function loggedIn(wx, options) {
  const client = clientOf(wx, options)
  return client.login().then(() => client)
}

/** The first answers, one per call, then the last one for ever. */
function inTurn(...answers) {
  return () => (answers.length > 1 ? answers.shift() : answers[0])
}

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
  await b.get('/api/x')
  assert.deepEqual([...wx.storage.keys()], ['a'])
  assert.equal(wx.sent('/api/x')[0].header.Authorization, undefined)
})

test('a client of another gate does not find this one’s token', async () => {
  const wx = fakeWx(() => ok({ token: 'secret', expires_in: 7200 }))
  await clientOf(wx).login()
  await clientOf(wx, { baseUrl: 'https://other.example.com' }).get('/api/x')
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

test('a wx.login that never answers ends after the timeout', async () => {
  const wx = fakeWx(gateOf({}))
  wx.login = () => undefined
  const err = await rejection(clientOf(wx, { timeout: 20 }).login())
  assert.deepEqual([err.code, err.errMsg], ['TIMEOUT', 'login:fail timeout'])
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
  for (const url of ['/api/orders', 'api/orders', '/orders']) await client.get(url)
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
  const wx = fakeWx(() => bare)
  assert.deepEqual(await clientOf(wx).get('/api/x'), bare)
  assert.equal(wx.codes, 0)
})

test('statuses of the business API resolve, as wx.request has it', async () => {
  for (const statusCode of [201, 204, 302, 403, 404, 500, 503]) {
    const res = await clientOf(fakeWx(() => ({ ...ok(), statusCode }))).get('/api/x')
    assert.equal(res.statusCode, statusCode)
  }
})

for (const name of ['X-Wxgate-Error', 'x-wxgate-error', 'X-WXGATE-ERROR']) {
  test(`the gate’s mark is known as ${name}`, async () => {
    const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken', 401, name), ok('yes')) }))
    assert.equal((await clientOf(wx).get('/api/x')).data, 'yes')
    assert.equal(wx.codes, 1)
  })
}

test('any other refusal of the gate rejects by its Code', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('UpstreamTimeout', 504) }))
  const err = await rejection(clientOf(wx).get('/api/x'))
  assert.ok(err instanceof Error)
  assert.deepEqual([err.code, err.gate, err.response.statusCode], ['GATE_UpstreamTimeout', 'UpstreamTimeout', 504])
  assert.equal(err.errMsg, 'request:fail UpstreamTimeout.')
  assert.equal(wx.codes, 0)
})

test('a request that needs no login is just sent', async () => {
  const wx = fakeWx(() => ok())
  await clientOf(wx).get('/api/news')
  assert.deepEqual([wx.codes, wx.requests.length, wx.requests[0].header], [0, 1, {}])
})

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
  const err = await rejection(clientOf(wx).request({ url: '/api/x', replay: false }))
  assert.equal(err.code, 'NOT_LOGGED_IN')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [1, 1])
})

test('a replay that is refused as well is the end of it', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const err = await rejection(clientOf(wx).get('/api/x'))
  assert.equal(err.code, 'NOT_LOGGED_IN')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [1, 2])
})

test('nothing is sent again after a timeout or a network failure', async () => {
  for (const [errMsg, code] of [
    ['request:fail timeout', 'TIMEOUT'],
    ['request:fail errcode:-118 cronet_error_code:-118 error_msg:net::ERR_CONNECTION_TIMED_OUT', 'TIMEOUT'],
    ['request:fail interrupted', 'NETWORK'],
    ['request:fail url not in domain list', 'NETWORK'],
    ['request:fail errcode:-103 error_msg:net::ERR_CONNECTION_ABORTED', 'NETWORK'],
    ['request:fail error_msg:net::ERR_ACCESS_DENIED', 'NETWORK']
  ]) {
    const wx = fakeWx(gateOf({ '/api/x': { errMsg } }))
    const err = await rejection(clientOf(wx).post('/api/x', {}))
    assert.deepEqual([err.code, err.errMsg, wx.sent('/api/x').length], [code, errMsg, 1])
  }
})

test('a wx.request that throws is a failure of the network, not of the program', async () => {
  const wx = fakeWx(() => ok())
  wx.request = () => {
    throw new Error('parameter error')
  }
  assert.equal((await rejection(clientOf(wx).get('/api/x'))).code, 'NETWORK')
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
  const wx = fakeWx(() => ok())
  const client = clientOf(wx)
  for (const verb of ['get', 'post', 'put', 'del']) await client[verb]('/api/x', { a: 1 }, { timeout: 9, dataType: 'text' })
  assert.deepEqual(
    wx.requests.map((r) => [r.method, r.data, r.timeout, r.dataType]),
    ['GET', 'POST', 'PUT', 'DELETE'].map((method) => [method, { a: 1 }, 9, 'text'])
  )
})

test('a timeout is the request’s own, else the client’s, else WeChat’s', async () => {
  const wx = fakeWx(() => ok())
  await clientOf(wx, { timeout: 7 }).get('/api/x', undefined, { timeout: 5 })
  await clientOf(wx, { timeout: 7 }).get('/api/x')
  await clientOf(wx).get('/api/x')
  assert.deepEqual(wx.requests.map((r) => ('timeout' in r ? r.timeout : 'none')), [5, 7, 'none'])
})

test('callbacks are told as wx tells them: success or fail, then complete', async () => {
  const wx = fakeWx(gateOf({ '/api/bad': { errMsg: 'request:fail timeout' } }))
  const heard = []
  const hear = (name) => (it) => heard.push([name, it.statusCode || it.code])
  const callbacks = { success: hear('success'), fail: hear('fail'), complete: hear('complete') }
  clientOf(wx).request({ url: '/api/good', ...callbacks })
  await pause()
  clientOf(wx).request({ url: '/api/bad', ...callbacks })
  await pause()
  assert.deepEqual(heard, [['success', 200], ['complete', 200], ['fail', 'TIMEOUT'], ['complete', 'TIMEOUT']])
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
  const wx = fakeWx(() => null)
  const promise = clientOf(wx).get('/api/x')
  promise.abort()
  const err = await rejection(promise)
  assert.deepEqual([err.code, err.errMsg, wx.requests[0].aborted], ['ABORTED', 'request:fail abort', true])
})

test('abort during the login drops the replay, not the login', async () => {
  const wx = fakeWx(gateOf({ '/api/x': refusal('InvalidToken') }))
  const client = clientOf(wx)
  const login = new Promise((resolve) => client.on('login', resolve))
  const real = wx.login
  wx.login = (o) => {
    promise.abort()
    real(o)
  }
  const promise = client.get('/api/x')
  assert.equal((await rejection(promise)).code, 'ABORTED')
  assert.equal((await login).token, 'token-1')
  await pause()
  assert.equal(wx.sent('/api/x').length, 1)
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
  const wx = fakeWx(() => ok('yes'))
  const promise = clientOf(wx).get('/api/x')
  assert.equal((await promise).data, 'yes')
  promise.abort()
  assert.equal((await promise).data, 'yes')
  assert.equal(wx.requests[0].aborted, undefined)
})

test('a task’s own abort is told as ABORTED', async () => {
  const wx = fakeWx(() => null)
  const err = await rejection(clientOf(wx).request({ url: '/api/x', onTask: (task) => task.abort() }))
  assert.equal(err.code, 'ABORTED')
})

test('onTask gets each task, the replay’s as well', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok()) }))
  const tasks = []
  await clientOf(wx).request({ url: '/api/x', onTask: (task) => tasks.push(task) })
  assert.equal(new Set(tasks).size, 2)
})

for (const [verb, api] of [['upload', 'uploadFile'], ['download', 'downloadFile']]) {
  test(`${verb} follows the same rules, with the headers that only the task tells`, async () => {
    const wx = fakeWx(gateOf({ '/api/f': inTurn(refusal('InvalidToken'), ok()) }))
    const res = await clientOf(wx)[verb]({ url: '/api/f', filePath: 'wxfile://a', name: 'f' })
    assert.deepEqual([res.statusCode, wx.codes], [200, 1])
    assert.deepEqual(wx.sent('/api/f').map((r) => r.api), [api, api])
    assert.equal(wx.sent('/api/f')[1].header.Authorization, 'Bearer token-1')
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

test('what others left in the storage is not taken for a session', async () => {
  for (const left of [null, 'text', 7, [], {}, { token: 7 }]) {
    const wx = fakeWx(() => ok())
    wx.getStorageSync = () => left
    await clientOf(wx).get('/api/x')
    assert.deepEqual(wx.requests[0].header, {})
  }
})

test('the storage is read once', async () => {
  const wx = fakeWx(() => ok())
  let reads = 0
  wx.getStorageSync = () => (reads++, '')
  const client = clientOf(wx)
  await client.get('/api/x')
  await client.get('/api/x')
  assert.equal(reads, 1)
})

test('events tell logins, replays and failed logins, until off', async () => {
  const wx = fakeWx(gateOf({ '/api/x': inTurn(refusal('InvalidToken'), ok()) }))
  const client = clientOf(wx)
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
  const wx = fakeWx(gateOf({ '/logout': { ...ok(''), statusCode: 204 } }))
  const client = await loggedIn(wx)
  assert.equal(await client.logout(), undefined)
  const [request] = wx.sent('/logout')
  assert.deepEqual([request.header.Authorization, request.data], ['Bearer token-1', {}])
  assert.equal(wx.storage.size, 0)
})

test('logout forgets the token even when the gate is not reached, and says so', async () => {
  const wx = fakeWx(gateOf({ '/logout': { errMsg: 'request:fail' } }))
  const client = await loggedIn(wx)
  assert.equal((await rejection(client.logout())).code, 'NETWORK')
  assert.equal(wx.storage.size, 0)
  await client.get('/api/x')
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

test('logout waits for a login under way, and ends what that brought', async () => {
  const wx = fakeWx(gateOf({ '/logout': { ...ok(''), statusCode: 204 } }))
  const client = clientOf(wx)
  client.login()
  await client.logout()
  assert.equal(wx.sent('/logout')[0].header.Authorization, 'Bearer token-1')
  assert.equal(wx.storage.size, 0)
})

test('a request that was under way does not log the user in again after a logout', async () => {
  let answer
  const wx = fakeWx(gateOf({ '/api/x': () => new Promise((resolve) => (answer = resolve)) }))
  const client = await loggedIn(wx)
  const late = client.get('/api/x')
  await client.logout()
  answer(refusal('InvalidToken'))
  assert.equal((await rejection(late)).code, 'NOT_LOGGED_IN')
  assert.equal(wx.codes, 1)
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

test('decrypt asks to tap again after each login that had to happen', async () => {
  const dead = (wx) => (wx.checkSession = (o) => o.fail({ errMsg: 'checkSession:fail' }))
  for (const [routes, prepare] of [
    [{}, dead],
    [{ '/decrypt': refusal('InvalidToken') }, () => 0],
    [{ '/decrypt': refusal('DecryptFailed', 422) }, () => 0]
  ]) {
    const wx = fakeWx(gateOf(routes))
    const client = await loggedIn(wx)
    prepare(wx)
    assert.equal((await rejection(client.decrypt(DETAIL, { kind: 'user' }))).code, 'TAP_AGAIN')
    assert.equal(wx.codes, 2)
  }
})

test('decrypt without any token logs in and asks to tap again, without a try', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': opened }))
  assert.equal((await rejection(clientOf(wx).decrypt(DETAIL, { kind: 'user' }))).code, 'TAP_AGAIN')
  assert.deepEqual([wx.codes, wx.checks, wx.sent('/decrypt').length], [1, 0, 0])
})

test('an optimistic decrypt tries the data in hand once after the login', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': opened }))
  assert.deepEqual(await clientOf(wx).decrypt(DETAIL, { kind: 'user', optimistic: true }), opened.data)
})

test('an optimistic decrypt that fails again asks to tap again, after one login', async () => {
  const wx = fakeWx(gateOf({ '/decrypt': refusal('DecryptFailed', 422) }))
  const client = await loggedIn(wx)
  const err = await rejection(client.decrypt(DETAIL, { kind: 'user', optimistic: true }))
  assert.deepEqual([err.code, wx.codes, wx.sent('/decrypt').length], ['TAP_AGAIN', 2, 2])
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

test('a button’s refusal is told by its cause', async () => {
  const client = clientOf(fakeWx(() => ok()))
  for (const [detail, code] of [
    [{ errMsg: 'getPhoneNumber:fail user deny' }, 'USER_DENIED'],
    [{ errMsg: 'getPhoneNumber:fail:user cancel' }, 'USER_DENIED'],
    [{ errMsg: 'getPhoneNumber:fail', errno: 103 }, 'USER_DENIED'],
    [{ errMsg: 'getPhoneNumber:fail privacy permission is not authorized', errno: 104 }, 'PRIVACY'],
    [{ errMsg: 'getPhoneNumber:fail api scope is not declared in the privacy agreement', errno: 112 }, 'PRIVACY'],
    [{ errMsg: 'getPhoneNumber:fail', errno: 1400001 }, 'QUOTA'],
    [{ errMsg: 'getPhoneNumber:fail no permission' }, 'UNSUPPORTED'],
    [{ errMsg: 'getUserInfo:ok' }, 'UNSUPPORTED'],
    [undefined, 'UNSUPPORTED']
  ]) {
    const err = await rejection(client.phone(detail))
    assert.equal(err.code, code)
    if (detail) assert.deepEqual([err.errMsg, err.cause], [detail.errMsg, detail])
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

test('a sheet that unloads leaves the one before in charge, and nobody waiting', () => {
  const heard = []
  const answers = []
  const wx = { onNeedPrivacyAuthorization: (listener) => (wx.listener = listener) }
  const client = clientOf(wx)
  client.privacy.onNeed(() => heard.push('first'))
  const off = client.privacy.onNeed(() => heard.push('second'))
  wx.listener((answer) => answers.push(answer), { referrer: 'getLocation' })
  off()
  wx.listener(() => undefined, { referrer: 'getLocation' })
  assert.deepEqual([heard, answers], [['second', 'first'], [{ event: 'disagree' }]])
})
