'use strict'
// Every promise ends, though wx never calls back. The clock is the test's.
const assert = require('node:assert/strict')
const test = require('node:test')
const { ok, refusal, fakeWx, gateOf, clientOf, loggedIn, later, settle } = require('./fakes')

const LIMIT = 60000 + 5000
const DETAIL = { encryptedData: 'AAAA', iv: 'BBBB' }
const NEVER = () => undefined

/** A phone that calls back at once, on a clock that only the test moves. */
function begin(t, routes = {}) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1e12 })
  const wx = fakeWx(gateOf(routes), 'sync')
  Object.assign(wx, {
    getSetting: (o) => o.success({ authSetting: {} }),
    authorize: NEVER,
    getPrivacySetting: (o) => o.success({ needAuthorization: false }),
    requirePrivacyAuthorize: NEVER
  })
  const pass = async (ms) => {
    await settle()
    t.mock.timers.tick(ms)
    await settle()
  }
  return { wx, pass }
}

/** What became of a promise so far. */
function watch(promise) {
  const seen = { state: 'pending' }
  promise.then(
    (value) => Object.assign(seen, { state: 'resolved', value }),
    (err) => Object.assign(seen, { state: err.code, errMsg: err.errMsg })
  )
  return seen
}

const CALLS = {
  get: ['request', (client) => client.get('/api/x')],
  post: ['request', (client) => client.post('/api/x', {})],
  patch: ['request', (client) => client.patch('/api/x', {})],
  'login: false': ['request', (client) => client.get('/api/x', undefined, { login: false })],
  'another host': ['request', (client) => client.get('https://other.example.com/x')],
  upload: ['uploadFile', (client) => client.upload({ url: '/api/x', filePath: 'a', name: 'f' })],
  download: ['downloadFile', (client) => client.download({ url: '/api/x' })],
  login: ['login', (client) => client.login()],
  'login at the gate': ['request', (client) => client.login()],
  ensureSession: ['request', (client) => client.ensureSession()],
  'ensureSession at WeChat': ['checkSession', (client) => client.ensureSession()],
  decrypt: ['request', (client) => client.decrypt(DETAIL, { kind: 'user' })],
  'decrypt at WeChat': ['checkSession', (client) => client.decrypt(DETAIL, { kind: 'user' })],
  phone: ['request', (client) => client.phone({ code: 'c' })],
  sign: ['request', (client) => client.sign('{}')],
  logout: ['request', (client) => client.logout()],
  authorize: ['getSetting', (client) => client.authorize('scope.werun')],
  'privacy.status': ['getPrivacySetting', (client) => client.privacy.status()]
}

for (const [name, [api, call]] of Object.entries(CALLS)) {
  test(`${name} ends as TIMEOUT if wx.${api} never calls back`, async (t) => {
    const { wx, pass } = begin(t)
    const client = await loggedIn(wx)
    wx[api] = NEVER
    const seen = watch(call(client))
    await pass(LIMIT - 1)
    assert.equal(seen.state, 'pending')
    await pass(1)
    assert.equal(seen.state, 'TIMEOUT')
    assert.match(seen.errMsg, /^\w+:fail timeout$/)
  })
}

test('a request’s own timeout counts, whatever the client’s', async (t) => {
  const { wx, pass } = begin(t)
  const client = await loggedIn(wx, { timeout: 20000 })
  wx.request = NEVER
  const short = watch(client.get('/api/x', undefined, { timeout: 800 }))
  const usual = watch(client.get('/api/x'))
  const long = watch(client.get('/api/x', undefined, { timeout: 100000 }))
  await pass(5799)
  assert.equal(short.state, 'pending')
  await pass(1)
  assert.deepEqual([short.state, usual.state], ['TIMEOUT', 'pending'])
  await pass(25000 - 5800)
  assert.deepEqual([usual.state, long.state], ['TIMEOUT', 'pending'])
  await pass(80000)
  assert.equal(long.state, 'TIMEOUT')
})

test('a request ends in its own time while it waits for a login, which goes on for others', async (t) => {
  const login = later()
  const { wx, pass } = begin(t, { '/login': login.promise })
  const client = clientOf(wx)
  const short = watch(client.get('/api/x', undefined, { timeout: 800 }))
  const usual = watch(client.get('/api/y'))
  await pass(5800)
  assert.equal(short.state, 'TIMEOUT')
  login.give(ok({ token: 't', expires_in: 7200 }))
  await pass(0)
  assert.equal(usual.state, 'resolved')
  assert.deepEqual([wx.codes, wx.sent('/api/x').length], [1, 0])
})

test('a login that ended as TIMEOUT leaves the way free for the next', async (t) => {
  const { wx, pass } = begin(t)
  const client = clientOf(wx)
  const real = wx.login
  wx.login = NEVER
  const seen = ['a', 'b'].map((name) => watch(client.get(`/api/${name}`)))
  await pass(LIMIT)
  assert.deepEqual(seen.map((it) => it.state), ['TIMEOUT', 'TIMEOUT'])
  wx.login = real
  assert.equal((await client.get('/api/c')).statusCode, 200)
})

test('an ensureSession that lost its answer leaves the way free for the next', async (t) => {
  const { wx, pass } = begin(t)
  const client = await loggedIn(wx)
  const real = wx.request
  wx.request = NEVER
  const seen = watch(client.ensureSession())
  await pass(LIMIT)
  assert.equal(seen.state, 'TIMEOUT')
  wx.request = real
  assert.deepEqual(await client.ensureSession(), { renewed: false })
})

test('what waits for the user waits for ever', async (t) => {
  const { wx, pass } = begin(t)
  const client = clientOf(wx)
  const seen = [client.authorize('scope.werun'), client.privacy.require()].map(watch)
  await pass(24 * 3600 * 1000)
  assert.deepEqual(seen.map((it) => it.state), ['pending', 'pending'])
})

test('a request that ended as TIMEOUT is taken off the wire, and its late answer changes nothing', async (t) => {
  const late = later()
  const { wx, pass } = begin(t, { '/api/x': late.promise })
  const client = await loggedIn(wx)
  let aborted = 0
  const real = wx.request
  wx.request = (o) => (real(o), { abort: () => aborted++ })
  const seen = watch(client.get('/api/x'))
  await pass(LIMIT)
  late.give(refusal('InvalidToken'))
  await pass(0)
  assert.deepEqual([seen.state, aborted, wx.codes], ['TIMEOUT', 1, 1])
})

test('a token that arrives after its login ended is not stored, and dies at the gate', async (t) => {
  const late = later()
  const { wx, pass } = begin(t, { '/login': late.promise })
  const client = clientOf(wx)
  const seen = watch(client.login())
  await pass(LIMIT)
  late.give(ok({ token: 'late', expires_in: 7200 }))
  await pass(0)
  assert.deepEqual([seen.state, client.state().loggedIn], ['TIMEOUT', false])
  assert.deepEqual(wx.sent('/logout').map((r) => r.header.Authorization), ['Bearer late'])
})

test('a code that arrives after its login ended is not sent', async (t) => {
  const { wx, pass } = begin(t)
  let answer
  wx.login = (o) => (answer = o.success)
  watch(clientOf(wx).login())
  await pass(LIMIT)
  answer({ code: 'late' })
  await pass(0)
  assert.equal(wx.requests.length, 0)
})

test('WeChat’s own timeout of wx.login is tried once more, within the same time', async (t) => {
  const { wx, pass } = begin(t)
  const client = clientOf(wx)
  const real = wx.login
  wx.login = (o) => {
    wx.login = real
    setTimeout(o.fail, 60000, { errMsg: 'login:fail timeout' })
  }
  const seen = watch(client.login())
  await pass(60000)
  assert.equal(seen.state, 'resolved')
})

test('no timer outlives what it was for', async (t) => {
  const timers = new Set()
  const { setTimeout: real, clearTimeout: clear } = global
  t.after(() => Object.assign(global, { setTimeout: real, clearTimeout: clear }))
  global.setTimeout = (...args) => {
    const timer = real(...args)
    timers.add(timer)
    return timer
  }
  global.clearTimeout = (timer) => (clear(timer), timers.delete(timer))
  const wx = fakeWx(gateOf({ '/sign': ok({ signature: 'ab' }), '/decrypt': ok({ data: {} }), '/api/never': null }), 'sync')
  const client = clientOf(wx)
  await client.get('/api/x')
  await client.ensureSession()
  await client.decrypt(DETAIL, { kind: 'user' })
  await client.sign('{}')
  const aborted = client.get('/api/never')
  aborted.abort()
  await aborted.catch(() => 0)
  await client.logout()
  assert.equal(timers.size, 0)
})
