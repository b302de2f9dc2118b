'use strict'
// What happens when two things happen at once: two clients on one storage, logins, logouts, requests, aborts.
const assert = require('node:assert/strict')
const test = require('node:test')
const { HOME, ok, refusal, dead, fakeWx, gateOf, clientOf, loggedIn, inTurn, later, rejection, pause } = require('./fakes')

const bearers = (wx, path) => wx.sent(path).map((r) => r.header.Authorization)

/** The main package and an independent subpackage: two copies of the library, one storage. */
async function twoClients(routes = {}) {
  const wx = fakeWx(gateOf(routes))
  const [a, b] = [clientOf(wx), clientOf(wx)]
  await a.login()
  return { wx, a, b }
}

// --- one storage key, one session ---

test('a login of one client is the other’s at once', async () => {
  const { wx, a, b } = await twoClients()
  assert.deepEqual(b.state(), a.state())
  await b.get('/api/x')
  assert.deepEqual([wx.codes, bearers(wx, '/api/x')], [1, ['Bearer token-1']])
})

test('a renewal of one client is the other’s at once', async () => {
  const { wx, a, b } = await twoClients()
  await b.get('/api/x')
  await a.login()
  await b.get('/api/y')
  assert.deepEqual([wx.codes, bearers(wx, '/api/y')], [2, ['Bearer token-2']])
})

test('a logout of one client is the other’s at once', async () => {
  const { wx, a, b } = await twoClients()
  await b.get('/api/x')
  await a.logout()
  assert.deepEqual(b.state(), { loggedIn: false, loggedOut: true, expiresAt: undefined })
  assert.equal((await rejection(b.get('/api/y'))).code, 'LOGGED_OUT')
  assert.deepEqual([wx.codes, wx.sent('/api/y').length], [1, 0])
})

test('a login of the other client ends logged out here', async () => {
  const { wx, a, b } = await twoClients()
  await a.logout()
  await b.login()
  await a.get('/api/x')
  assert.deepEqual(bearers(wx, '/api/x'), ['Bearer token-2'])
})

test('a token that the other client renewed while a request was under way is taken for the replay', async () => {
  const first = later()
  const { wx, a, b } = await twoClients({ '/api/x': inTurn(first.promise, ok('yes')) })
  const promise = b.post('/api/x', {})
  await a.login()
  first.give(refusal('InvalidToken'))
  assert.equal((await promise).data, 'yes')
  assert.deepEqual([wx.codes, bearers(wx, '/api/x')], [2, ['Bearer token-1', 'Bearer token-2']])
})

test('a dead token that the other client renewed meanwhile is replayed without another login', async () => {
  const first = later()
  const { wx, a, b } = await twoClients({ '/api/x': inTurn(first.promise, ok('user')) })
  const promise = b.get('/api/x')
  await a.login()
  first.give(dead('visitor'))
  assert.equal((await promise).data, 'user')
  assert.equal(wx.codes, 2)
})

test('a refusal seen by one client saves the other a request', async () => {
  const { wx, a, b } = await twoClients({ '/api/x': refusal('InvalidToken') })
  await rejection(a.get('/api/x', undefined, { login: false }))
  await b.get('/api/y')
  assert.deepEqual(bearers(wx, '/api/y'), ['Bearer token-2'])
})

test('a request of before the other client’s logout does not log the user in again', async () => {
  const answer = later()
  const { wx, a, b } = await twoClients({ '/api/x': answer.promise })
  const promise = b.get('/api/x')
  await a.logout()
  answer.give(refusal('InvalidToken'))
  assert.equal((await rejection(promise)).code, 'LOGGED_OUT')
  assert.deepEqual([wx.codes, a.state().loggedOut], [1, true])
})

test('a login that the other client’s logout overtook is not stored, and its token dies at the gate', async () => {
  const answer = later()
  const { wx, a, b } = await twoClients({ '/login': inTurn(ok({ token: 'old', expires_in: 7200 }), answer.promise) })
  const promise = rejection(a.login())
  await pause()
  await b.logout()
  answer.give(ok({ token: 'new', expires_in: 7200 }))
  assert.equal((await promise).code, 'LOGGED_OUT')
  assert.deepEqual([a.state().loggedOut, b.state().loggedOut], [true, true])
  assert.deepEqual(bearers(wx, '/logout'), ['Bearer old', 'Bearer new'])
})

/** A login of `a` is under way, with wx.login or at the gate, when `b` logs out and `a` logs in anew. */
for (const [name, reached] of [['wx.login', 0], ['/login', 1]]) {
  test(`a login after the other client’s logout is a new one, though an older login waits for ${name}`, async () => {
    const answer = later()
    const { wx, a, b } = await twoClients({
      '/login': inTurn(ok({ token: 'old', expires_in: 7200 }), ...(reached ? [answer.promise] : []), ok({ token: 'new', expires_in: 7200 }))
    })
    const real = wx.login
    let code
    wx.login = reached ? real : (o) => (code = () => real(o))
    const older = rejection(a.login())
    await pause()
    wx.login = real
    await b.logout()
    assert.equal((await a.login()).token, 'new')
    if (reached) answer.give(ok({ token: 'doomed', expires_in: 7200 }))
    else code()
    assert.equal((await older).code, 'LOGGED_OUT')
    await a.get('/api/x')
    assert.deepEqual(bearers(wx, '/api/x'), ['Bearer new'])
    assert.deepEqual(bearers(wx, '/logout'), reached ? ['Bearer old', 'Bearer doomed'] : ['Bearer old'])
    assert.ok(wx.sent('/login').every((request) => request.data.replaces !== 'new'))
  })
}

test('ensureSession after a logout and a login does not share the one of before', async () => {
  const session = later()
  const { wx, a, b } = await twoClients({ '/session': inTurn(session.promise, ok({ valid: true })) })
  const older = a.ensureSession()
  await b.logout()
  await b.login()
  assert.deepEqual(await a.ensureSession(), { renewed: false })
  session.give(ok({ valid: true }))
  await older
  assert.equal(wx.sent('/session').length, 2)
})

test('two clients that log in at the same moment both go on with one session', async () => {
  const wx = fakeWx(gateOf({}))
  const clients = [clientOf(wx), clientOf(wx)]
  await Promise.all(clients.map((client) => client.get('/api/x')))
  await Promise.all(clients.map((client) => client.get('/api/y')))
  const [first, second] = bearers(wx, '/api/y')
  assert.equal(first, second)
})

test('after a failed write, what the other client stored since is not written again when the storage is cleared', async () => {
  const { wx, a, b } = await twoClients()
  const real = wx.setStorageSync
  wx.setStorageSync = () => {
    throw new Error('busy')
  }
  await a.logout()
  wx.setStorageSync = real
  await b.login()
  assert.equal(a.state().loggedIn, true)
  wx.storage.clear()
  assert.deepEqual(a.state(), { loggedIn: false, loggedOut: false, expiresAt: undefined })
})

test('a storage that fails for one moment does not undo a logout of the other client', async () => {
  const { wx, a, b } = await twoClients()
  await b.get('/api/x')
  const real = wx.getStorageSync
  wx.getStorageSync = () => {
    throw new Error('busy')
  }
  assert.equal(b.state().loggedIn, true)
  wx.getStorageSync = real
  await a.logout()
  assert.equal(b.state().loggedOut, true)
})

// --- login and logout ---

test('logout waits for a login under way, and ends what that brought', async () => {
  const answer = later()
  const wx = fakeWx(gateOf({ '/login': answer.promise }))
  const client = clientOf(wx)
  const login = rejection(client.login())
  await pause()
  const leaving = client.logout()
  answer.give(ok({ token: 'new', expires_in: 7200 }))
  await leaving
  assert.equal((await login).code, 'LOGGED_OUT')
  assert.deepEqual(bearers(wx, '/logout'), ['Bearer new'])
  assert.deepEqual(client.state(), { loggedIn: false, loggedOut: true, expiresAt: undefined })
})

test('a login that a logout overtook before wx.login answered sends nothing to the gate', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const login = rejection(client.login())
  await client.logout()
  assert.equal((await login).code, 'LOGGED_OUT')
  assert.deepEqual([wx.codes, wx.requests.length], [1, 0])
})

test('from the moment of the logout nothing more is sent as the user, also while a login is under way', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const early = rejection(client.get('/api/early'))
  const leaving = client.logout()
  const late = rejection(client.get('/api/late'))
  await leaving
  assert.deepEqual([(await early).code, (await late).code], ['LOGGED_OUT', 'LOGGED_OUT'])
  assert.deepEqual([wx.codes, wx.sent('/api/').length], [1, 0])
})

test('a login after the logout is a new one, though an older login is still under way', async () => {
  const first = later()
  const wx = fakeWx(gateOf({ '/login': inTurn(first.promise, ok({ token: 'second', expires_in: 7200 })) }))
  const client = clientOf(wx)
  const older = rejection(client.login())
  await pause()
  const leaving = client.logout()
  assert.equal((await client.login()).token, 'second')
  first.give(ok({ token: 'first', expires_in: 7200 }))
  assert.equal((await older).code, 'LOGGED_OUT')
  await leaving
  await client.get('/api/x')
  assert.deepEqual([bearers(wx, '/api/x'), bearers(wx, '/logout')], [['Bearer second'], ['Bearer first']])
})

test('a request of before a logout and a new login is not replayed as whoever logged in since', async () => {
  const answer = later()
  const wx = fakeWx(gateOf({ '/api/x': answer.promise }))
  const client = await loggedIn(wx)
  const promise = client.post('/api/x', {})
  await client.logout()
  await client.login()
  answer.give(refusal('InvalidToken'))
  assert.equal((await rejection(promise)).code, 'LOGGED_OUT')
  assert.equal(wx.sent('/api/x').length, 1)
})

test('a request of before the logout whose answer is good is answered', async () => {
  const answer = later()
  const wx = fakeWx(gateOf({ '/api/x': answer.promise }))
  const client = await loggedIn(wx)
  const promise = client.get('/api/x')
  await client.logout()
  answer.give(ok('yes'))
  assert.equal((await promise).data, 'yes')
})

test('who hears of a login and logs out at once sends nothing as the user', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  client.on('login', () => client.logout())
  assert.equal((await rejection(client.get('/api/x'))).code, 'LOGGED_OUT')
  assert.equal(wx.sent('/api/x').length, 0)
})

test('a logout during ensureSession leaves the user out', async () => {
  const session = later()
  const wx = fakeWx(gateOf({ '/session': session.promise }))
  const client = await loggedIn(wx)
  const opening = client.ensureSession()
  await client.logout()
  session.give(ok({ valid: false }))
  assert.equal((await rejection(opening)).code, 'LOGGED_OUT')
  assert.equal(wx.codes, 1)
})

test('a login while the logout is on its way to the gate is the next session', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  const leaving = client.logout()
  await client.login()
  await leaving
  await client.get('/api/x')
  assert.deepEqual(bearers(wx, '/api/x'), ['Bearer token-2'])
})

test('two logouts at once tell the gate once', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  await Promise.all([client.logout(), client.logout()])
  assert.equal(wx.sent('/logout').length, 1)
})

// --- ten at once ---

test('all that an app may do at its start makes one login', async () => {
  const opened = ok({ data: {}, assertion: 'jwt' })
  const wx = fakeWx(gateOf({ '/decrypt': opened, '/phone': opened, '/sign': ok({ signature: 'ab' }) }))
  const client = clientOf(wx)
  await Promise.all([
    client.ensureSession(),
    client.get('/api/a'),
    client.decrypt({ encryptedData: 'A', iv: 'B' }, { kind: 'user' }),
    client.phone({ code: 'c' }),
    client.sign('{}'),
    client.upload({ url: '/api/f', filePath: 'a', name: 'f' }),
    client.ensureLogin(),
    client.login()
  ])
  assert.equal(wx.codes, 1)
})

test('ten that the gate takes as a visitor’s at once make one login, and are all sent again', async () => {
  const wx = fakeWx((request) => {
    if (request.url.endsWith('/login')) return ok({ token: `token-${wx.codes}`, expires_in: 7200 })
    return request.header.Authorization === 'Bearer token-2' ? ok('user') : dead('visitor')
  })
  const client = await loggedIn(wx)
  const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => client.get(`/api/news${i}`)))
  assert.ok(answers.every((res) => res.data === 'user'))
  assert.deepEqual([wx.codes, wx.requests.length], [2, 22])
})

test('ten at app start while logged out: ten times LOGGED_OUT, nothing is sent', async () => {
  const wx = fakeWx(gateOf({}))
  await clientOf(wx).logout()
  const client = clientOf(wx)
  const errors = await Promise.all(Array.from({ length: 10 }, (_, i) => rejection(client.get(`/api/p${i}`))))
  assert.ok(errors.every((err) => err.code === 'LOGGED_OUT'))
  assert.deepEqual([wx.codes, wx.requests.length], [0, 0])
})

test('ten that wait while the user logs in again are all sent', async () => {
  const wx = fakeWx(gateOf({}))
  const client = await loggedIn(wx)
  await client.logout()
  client.login()
  const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => client.get(`/api/p${i}`)))
  assert.ok(answers.every((res) => res.statusCode === 200))
  assert.equal(wx.codes, 2)
})

test('one of ten that wait for a login is aborted; nine are sent', async () => {
  const wx = fakeWx(gateOf({}))
  const client = clientOf(wx)
  const promises = Array.from({ length: 10 }, (_, i) => client.get(`/api/p${i}`))
  promises[3].abort()
  const outcomes = await Promise.all(promises.map((promise) => promise.then((res) => res.statusCode, (err) => err.code)))
  assert.deepEqual(outcomes, [200, 200, 200, 'ABORTED', 200, 200, 200, 200, 200, 200])
  assert.deepEqual([wx.codes, wx.sent(`${HOME}/api/`).length], [1, 9])
})

test('a request that fails by its callback and by its promise is reported both ways, complete last', async () => {
  const wx = fakeWx(gateOf({ '/api/x': { errMsg: 'request:fail timeout' } }))
  const client = await loggedIn(wx)
  const heard = []
  const hear = (name) => (it) => heard.push([name, it.code])
  await client.get('/api/x', undefined, { success: hear('success'), fail: hear('fail'), complete: hear('complete') }).catch(hear('catch'))
  await pause()
  assert.deepEqual(heard, [['fail', 'TIMEOUT'], ['complete', 'TIMEOUT'], ['catch', 'TIMEOUT']])
})
