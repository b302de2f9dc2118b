'use strict'
// Ten requests at once: one login, ten answers, at most one replay each.
const assert = require('node:assert/strict')
const test = require('node:test')
const { fakeWx, strictGate, clientOf, refusal, rejection } = require('./fakes')
const { takePhone, openProgram, revoke } = require('./desk')

const PATHS = Array.from({ length: 10 }, (_, i) => `/api/p${i}`)

function tenAtOnce(client) {
  return Promise.all(PATHS.map((path) => client.get(path)))
}

function assertOneReplayEach(requests) {
  for (const path of PATHS) assert.ok(requests.filter((r) => r.url.endsWith(path)).length <= 2, path)
}

async function assertTenOfTen(gate, wx, client, logins) {
  const before = wx.requests.length
  const answers = await tenAtOnce(client)
  assert.deepEqual(answers.map((res) => res.statusCode), PATHS.map(() => 200))
  assert.equal(gate.logins, logins)
  assert.equal(wx.codes, logins)
  assertOneReplayEach(wx.requests.slice(before))
}

for (const how of ['async', 'sync']) {
  test(`ten at once without a session make one login and ten requests (${how} callbacks)`, async () => {
    const gate = strictGate()
    const wx = fakeWx(gate.answer, how)
    await assertTenOfTen(gate, wx, clientOf(wx), 1)
    assert.equal(wx.requests.length, 11)
  })

  test(`ten whose token expired together make one login (${how} callbacks)`, async () => {
    const gate = strictGate()
    const wx = fakeWx(gate.answer, how)
    const client = clientOf(wx)
    await client.login()
    gate.live = null
    await assertTenOfTen(gate, wx, client, 2)
  })
}

test('refusals 30 ms apart make one login, though most come after it', async () => {
  const gate = strictGate({ late: (request) => 30 * (1 + Number(request.url.slice(-1))) })
  const wx = fakeWx(gate.answer)
  const client = clientOf(wx)
  await client.login()
  gate.live = null
  await assertTenOfTen(gate, wx, client, 2)
})

test('a server that keeps one token per user is not driven in circles by late refusals', async () => {
  const gate = strictGate({ late: (request) => (request.url.endsWith('9') ? 80 : 0) })
  const wx = fakeWx(gate.answer)
  const client = clientOf(wx)
  await assertTenOfTen(gate, wx, client, 1)
  await tenAtOnce(client)
  assert.equal(gate.logins, 1)
})

test('a first login with a refused code is made up for by a second code, and all ten are answered', async () => {
  const gate = strictGate({ firstLogin: refusal('InvalidCode') })
  const wx = fakeWx(gate.answer)
  await assertTenOfTen(gate, wx, clientOf(wx), 2)
  assert.deepEqual(wx.sent('/login').map((r) => r.data.code), ['code-1', 'code-2'])
})

test('a first login that WeChat is too busy for is made up for by a second, and all ten are answered', async () => {
  const gate = strictGate({ firstLogin: refusal('WeChatBusy', 503) })
  const wx = fakeWx(gate.answer)
  await assertTenOfTen(gate, wx, clientOf(wx), 2)
})

test('a first login that fails fails all ten, and the next request logs in again', async () => {
  const gate = strictGate({ firstLogin: refusal('UserBlocked', 403) })
  const wx = fakeWx(gate.answer)
  const client = clientOf(wx)
  const errors = await Promise.all(PATHS.map((path) => rejection(client.get(path))))
  assert.deepEqual(errors.map((err) => err.code), PATHS.map(() => 'LOGIN_REFUSED'))
  assert.equal(gate.logins, 1)
  await assertTenOfTen(gate, wx, client, 2)
})

test('a wx.login that fails is told to all ten, and nobody waits for ever', async () => {
  const gate = strictGate()
  const wx = fakeWx(gate.answer)
  const login = wx.login
  wx.login = (o) => o.fail({ errMsg: 'login:fail system error' })
  const client = clientOf(wx)
  const errors = await Promise.all(PATHS.map((path) => rejection(client.get(path))))
  assert.ok(errors.every((err) => err.errMsg === 'login:fail system error'))
  wx.login = login
  await assertTenOfTen(gate, wx, client, 1)
})

test('the whole load holds where Promise is a polyfill on setTimeout, as before iOS 16', async () => {
  const gate = strictGate()
  const wx = fakeWx(gate.answer)
  const { clientWithSlowPromise } = require('./slow_promise')
  const client = clientWithSlowPromise(wx)
  await assertTenOfTen(gate, wx, client, 1)
  gate.live = null
  await assertTenOfTen(gate, wx, client, 2)
})

test('the real gate: ten at once without a session make one login', async () => {
  const phone = takePhone()
  const answers = await tenAtOnce(openProgram(phone))
  assert.ok(answers.every((res) => res.data.headers['X-WX-OPENID']))
  assert.equal(phone.count('login'), 1)
  assert.equal(phone.count('request'), 11)
})

test('the real gate: ten whose token was revoked make one login', async () => {
  const phone = takePhone()
  const client = openProgram(phone)
  await revoke((await client.login()).token)
  const answers = await tenAtOnce(client)
  assert.ok(answers.every((res) => res.statusCode === 200))
  assert.equal(phone.count('login'), 2)
})
