'use strict'
// simulator/wx.js keeps to what phones do.
const assert = require('node:assert/strict')
const http = require('node:http')
const test = require('node:test')
const vm = require('node:vm')
const fs = require('node:fs')
const path = require('node:path')
const { createPhone } = require('../../simulator/wx.js')
const { GATE, takePhone } = require('./desk')
const { pause } = require('./fakes')

/** A server whose answers the test gives by hand. */
async function serve(t, handler) {
  const server = http.createServer(handler)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}`
}

function requested(wx, options) {
  return new Promise((resolve, reject) => wx.request({ ...options, success: resolve, fail: reject }))
}

function failure(promise) {
  return promise.then(
    () => assert.fail('succeeded'),
    (err) => err
  )
}

test('a promise is given only where WeChat’s page and the typings both say so, and no callback is given', async () => {
  const { wx } = takePhone()
  assert.equal((await wx.getSetting()).errMsg, 'getSetting:ok')
  for (const name of ['success', 'fail', 'complete']) assert.equal(wx.getSetting({ [name]: () => undefined }), undefined)
  const promising = ['checkSession', 'getSetting', 'authorize', 'getLocation', 'setStorage', 'getStorage', 'removeStorage']
  const others = ['login', 'getUserInfo', 'getUserProfile', 'getWeRunData', 'getShareInfo', 'getGroupEnterInfo', 'openSetting']
  const privacy = ['getPrivacySetting', 'requirePrivacyAuthorize', 'openPrivacyContract']
  const given = (name) => {
    const result = wx[name]({ scope: 'scope.camera', key: 'k' })
    if (result) result.catch(() => undefined)
    return Boolean(result)
  }
  assert.deepEqual([...promising, ...others, ...privacy].filter(given), promising)
})

test('a silent function never calls back, though it acts', async (t) => {
  let heard = 0
  const url = await serve(t, (_, res) => (heard++, res.end('{}')))
  const phone = takePhone({ switches: { silent: ['request', 'login', 'checkSession'] } })
  const outcomes = []
  const callbacks = { success: () => outcomes.push('success'), fail: (err) => outcomes.push(err.errMsg) }
  const task = phone.wx.request({ url, timeout: 30, ...callbacks })
  phone.wx.login(callbacks)
  phone.wx.checkSession().then(callbacks.success, callbacks.fail)
  while (!heard) await pause(1)
  await pause(60)
  assert.deepEqual(outcomes, [])
  task.abort()
  await pause()
  assert.deepEqual(outcomes, ['request:fail abort'])
})

test('WeChat for PC hands an answer of 400 and above to fail, with status, headers and data', async (t) => {
  const url = await serve(t, (req, res) => res.writeHead(Number(req.url.slice(1)), { 'X-Mine': '1' }).end('{"a":1}'))
  const { wx, files } = takePhone({ switches: { platform: 'pc' } })
  files.set('wxfile://a', new Uint8Array([1]))
  assert.equal((await requested(wx, { url: `${url}/200` })).statusCode, 200)
  for (const api of ['request', 'uploadFile', 'downloadFile']) {
    const err = await failure(new Promise((success, fail) => wx[api]({ url: `${url}/401`, filePath: 'wxfile://a', name: 'f', success, fail })))
    assert.deepEqual([err.errMsg, err.statusCode, err.header['X-Mine']], [`${api}:fail`, 401, '1'])
  }
  assert.deepEqual((await failure(requested(wx, { url: `${url}/404` }))).data, { a: 1 })
})

test('each platform has its own words', async (t) => {
  const url = await serve(t, () => undefined)
  for (const [platform, timeout, offline] of [
    ['android', 'timeout', /ERR_INTERNET_DISCONNECTED/],
    ['ios', '请求超时。', /似乎已断开与互联网的连接/],
    ['devtools', 'timeout', /^request:fail net::/],
    ['pc', 'time out', /ERR_INTERNET_DISCONNECTED/]
  ]) {
    const { wx, switches } = takePhone({ switches: { platform } })
    assert.equal((await failure(requested(wx, { url, timeout: 10 }))).errMsg, `request:fail ${timeout}`)
    switches.offline = true
    assert.match((await failure(requested(wx, { url }))).errMsg, offline)
  }
})

test('what the phone’s settings deny is not asked of the user', async () => {
  const phone = takePhone({ ask: () => assert.fail('asked'), switches: { systemDenied: ['scope.werun'] } })
  const denied = 'fail system permission denied'
  assert.deepEqual(await failure(phone.call('getWeRunData')), { errMsg: `getWeRunData:${denied}`, errno: 3 })
  assert.deepEqual(await failure(phone.wx.authorize({ scope: 'scope.werun' })), { errMsg: `authorize:${denied}`, errno: 3 })
  assert.deepEqual((await phone.wx.getSetting()).authSetting, {})
})

test('complete comes after success, and after fail', async () => {
  const { wx, switches } = takePhone()
  const heard = []
  const hear = (name) => () => heard.push(name)
  const callbacks = { success: hear('success'), fail: hear('fail'), complete: hear('complete') }
  await new Promise((resolve) => wx.getSetting({ ...callbacks, complete: () => resolve(heard.push('complete')) }))
  switches.offline = true
  await new Promise((resolve) => wx.login({ ...callbacks, complete: () => resolve(heard.push('complete')) }))
  assert.deepEqual(heard, ['success', 'complete', 'fail', 'complete'])
})

test('request gives a task and no promise, and calls back later', async () => {
  const { wx } = takePhone()
  let called = false
  const task = wx.request({ url: `${GATE}/health`, complete: () => (called = true) })
  assert.equal(called, false)
  assert.equal(task.then, undefined)
  assert.deepEqual(Object.keys(task).sort(), ['abort', 'offChunkReceived', 'offHeadersReceived', 'onChunkReceived', 'onHeadersReceived'])
  task.abort()
})

test('errno is told since base library 2.24.0', async () => {
  for (const [baseLibrary, errno] of [['2.23.9', undefined], ['2.24.0', 600001], ['3.4.2', 600001]]) {
    const { wx } = takePhone({ baseLibrary, switches: { offline: true } })
    assert.equal((await failure(requested(wx, { url: GATE }))).errno, errno)
  }
})

test('any HTTP status is a success', async (t) => {
  const url = await serve(t, (_, res) => res.writeHead(503).end('busy'))
  const { wx } = takePhone()
  const res = await requested(wx, { url })
  assert.deepEqual([res.statusCode, res.data, res.errMsg], [503, 'busy', 'request:ok'])
})

test('JSON is parsed once, and is a text where it is none', async (t) => {
  const url = await serve(t, (req, res) => res.end(req.url === '/json' ? '{"a":"{}"}' : '{"a":'))
  const { wx } = takePhone()
  assert.deepEqual((await requested(wx, { url: `${url}/json` })).data, { a: '{}' })
  assert.equal((await requested(wx, { url: `${url}/half` })).data, '{"a":')
  assert.equal((await requested(wx, { url: `${url}/json`, dataType: 'text' })).data, '{"a":"{}"}')
  assert.equal((await requested(wx, { url, responseType: 'arraybuffer' })).data.byteLength, 5)
})

test('data become a query, JSON or a form, as the method and content-type have it', async (t) => {
  const url = await serve(t, async (req, res) => {
    let body = ''
    for await (const part of req) body += part
    res.end(JSON.stringify([req.method, req.url, req.headers['content-type'], body]))
  })
  const { wx } = takePhone()
  const data = { a: '1 2', b: 3 }
  const sent = async (options) => (await requested(wx, { url: `${url}/x?c=4`, data, ...options })).data
  assert.deepEqual(await sent({}), ['GET', '/x?c=4&a=1%202&b=3', 'application/json', ''])
  assert.deepEqual(await sent({ method: 'POST' }), ['POST', '/x?c=4', 'application/json', '{"a":"1 2","b":3}'])
  const header = { 'Content-Type': 'application/x-www-form-urlencoded' }
  assert.deepEqual((await sent({ method: 'POST', header }))[3], 'a=1%202&b=3')
  assert.deepEqual((await sent({ method: 'PUT', data: 'text' }))[3], 'text')
})

for (const [name, url, data, target] of [
  ['an array and an object as JSON', '/x', { array: [1, 2], o: { a: '中' } }, '/x?array=%5B1%2C2%5D&o=%7B%22a%22%3A%22%E4%B8%AD%22%7D'],
  ['null as JSON, undefined as a word', '/x', { n: null, u: undefined }, '/x?n=null&u=undefined'],
  ['numbers, booleans, an empty text', '/x', { a: 1.5, b: false, c: '' }, '/x?a=1.5&b=false&c='],
  ['what is reserved', '/x', { 'a&b': 'c=d&e f+g' }, '/x?a%26b=c%3Dd%26e%20f%2Bg'],
  ['a name that is in the URL already: the later wins, in its old place', '/x?a=1&b=2', { a: 3, c: 4 }, '/x?a=3&b=2&c=4'],
  ['a name that is in the URL in its encoded form', '/x?%E4%B8%AD=1', { 中: 2 }, '/x?%E4%B8%AD=2'],
  ['no data: the URL as it is', '/x?a=1&a=2&flag', {}, '/x?a=1&a=2&flag'],
  ['a text: the URL as it is', '/x?a=1', 'b=2', '/x?a=1']
]) {
  test(`a GET encodes its data as WeChat does: ${name}`, async (t) => {
    const server = await serve(t, (req, res) => res.end(JSON.stringify([req.url])))
    assert.deepEqual((await requested(takePhone().wx, { url: server + url, data })).data, [target])
  })
}

test('a URL that is none is refused in WeChat’s words', async () => {
  const err = await failure(requested(takePhone().wx, { url: '/api/orders' }))
  assert.deepEqual(err, { errMsg: 'request:fail invalid url "/api/orders"', errno: 600009 })
})

test('a request that takes too long fails with errno 5', async (t) => {
  const url = await serve(t, () => undefined)
  const err = await failure(requested(takePhone().wx, { url, timeout: 20 }))
  assert.deepEqual(err, { errMsg: 'request:fail timeout', errno: 5 })
})

test('abort fails the request, closes the connection, and does so once', async (t) => {
  let closed
  const gone = new Promise((resolve) => (closed = resolve))
  const arrived = new Promise((resolve) => serve(t, (req) => (req.on('close', closed), resolve('yes'))).then((url) => start(url)))
  const errors = []
  let task
  const start = (url) => (task = takePhone().wx.request({ url, fail: (err) => errors.push(err.errMsg) }))
  await arrived
  task.abort()
  task.abort()
  await gone
  await pause()
  assert.deepEqual(errors, ['request:fail abort'])
})

test('ten requests run at once, the eleventh waits', async (t) => {
  const open = []
  const url = await serve(t, (_, res) => open.push(res))
  const { wx } = takePhone()
  const all = Array.from({ length: 11 }, () => requested(wx, { url }))
  while (open.length < 10) await pause(1)
  await pause(20)
  assert.equal(open.length, 10)
  open[0].end('{}')
  while (open.length < 11) await pause(1)
  open.forEach((res) => res.end('{}'))
  await Promise.all(all)
})

test('a domain that is not on the list is not called', async () => {
  const { wx } = takePhone({ switches: { domains: ['https://api.example.com'] } })
  assert.equal((await failure(requested(wx, { url: GATE }))).errMsg, 'request:fail url not in domain list')
})

test('in the background requests are interrupted after a while, also those under way', async (t) => {
  const url = await serve(t, () => undefined)
  const phone = takePhone({ backgroundGrace: 10 })
  const running = failure(requested(phone.wx, { url }))
  phone.background()
  assert.equal((await running).errMsg, 'request:fail interrupted')
  phone.foreground()
  assert.equal((await requested(phone.wx, { url: `${GATE}/health` })).statusCode, 200)
})

test('who is back soon enough is not interrupted', async () => {
  const phone = takePhone()
  phone.background()
  phone.foreground()
  assert.equal((await requested(phone.wx, { url: `${GATE}/health` })).statusCode, 200)
})

test('chunks are told as they come', async (t) => {
  let answer
  const url = await serve(t, (_, res) => (answer = res).write('one'))
  const chunks = []
  await new Promise((success) => {
    const task = takePhone().wx.request({ url, enableChunked: true, success })
    task.onChunkReceived(({ data }) => {
      chunks.push(Buffer.from(data).toString())
      if (chunks.length === 1) answer.end('two')
    })
  })
  assert.deepEqual(chunks, ['one', 'two'])
})

test('upload and download tell the headers to their task alone', async () => {
  const { wx, files } = takePhone()
  files.set('wxfile://a', new Uint8Array([1]))
  for (const [api, options] of [['uploadFile', { filePath: 'wxfile://a', name: 'f' }], ['downloadFile', {}]]) {
    let header
    const res = await new Promise((success) => {
      wx[api]({ url: `${GATE}/api/x`, ...options, success }).onHeadersReceived((it) => (header = it.header))
    })
    assert.deepEqual([res.header, header['X-Wxgate-Error']], [undefined, 'InvalidToken'])
  }
})

test('a file that is not there cannot be uploaded', async () => {
  const { wx } = takePhone()
  const err = await new Promise((fail) => wx.uploadFile({ url: GATE, filePath: 'nowhere', name: 'f', fail }))
  assert.equal(err.errMsg, 'uploadFile:fail file not found')
})

test('the storage keeps copies, says an empty text for nothing, and has limits', () => {
  const { wx } = takePhone()
  const value = { a: [1] }
  wx.setStorageSync('k', value)
  value.a.push(2)
  wx.setStorageSync('d', new Date(5))
  assert.deepEqual([wx.getStorageSync('k'), wx.getStorageSync('none'), wx.getStorageSync('d')], [{ a: [1] }, '', new Date(5)])
  assert.throws(() => wx.setStorageSync('big', 'x'.repeat(1024 * 1024)), /1 MB/)
  for (let i = 0; i < 10; i++) wx.setStorageSync(`k${i}`, 'x'.repeat(1024 * 1000))
  assert.throws(() => wx.setStorageSync('more', 'x'.repeat(1024 * 1000)), /10 MB/)
  assert.equal(wx.getStorageInfoSync().limitSize, 10240)
})

test('a full storage throws', () => {
  assert.throws(() => takePhone({ switches: { storageFull: true } }).wx.setStorageSync('k', 1))
})

test('openSetting and getUserProfile need the tap itself: nothing may be awaited before them', async () => {
  const phone = takePhone()
  for (const api of ['openSetting', 'getUserProfile']) {
    const words = `${api}:fail can only be invoked by user TAP gesture.`
    assert.equal((await failure(phone.call(api))).errMsg, words)
    const late = phone.tap(async () => {
      await phone.wx.getSetting()
      return phone.call(api)
    })
    assert.equal((await failure(late)).errMsg, words)
    assert.equal((await phone.tap(() => phone.call(api))).errMsg, `${api}:ok`)
  }
})

test('getSetting tells only what was asked: true, false, or nothing', async () => {
  const { wx } = takePhone({ switches: { refuse: ['scope.record'] } })
  await wx.authorize({ scope: 'scope.camera' })
  await failure(wx.authorize({ scope: 'scope.record' }))
  assert.deepEqual((await wx.getSetting()).authSetting, { 'scope.camera': true, 'scope.record': false })
})

test('a refused scope is not asked for again, and the consent is the user’s on every phone', async () => {
  const asked = []
  const phone = takePhone({ ask: (question) => (asked.push(question), false) })
  await failure(phone.wx.authorize({ scope: 'scope.record' }))
  const err = await failure(phone.anotherPhone().wx.authorize({ scope: 'scope.record' }))
  assert.deepEqual(err, { errMsg: 'authorize:fail auth deny', errno: 103 })
  assert.deepEqual(asked, [{ kind: 'authorize', scope: 'scope.record' }])
})

test('the last privacy listener wins', async () => {
  const { wx, call } = takePhone({ switches: { privacyNeeded: true } })
  wx.onNeedPrivacyAuthorization(() => assert.fail('replaced'))
  wx.onNeedPrivacyAuthorization((resolve) => resolve({ event: 'disagree' }))
  const err = await failure(call('requirePrivacyAuthorize'))
  assert.deepEqual(err, { errMsg: 'requirePrivacyAuthorize:fail privacy permission is not authorized', errno: 104 })
})

test('to agree for a button that was not tapped is no agreement', async () => {
  const { wx, call } = takePhone({ switches: { privacyNeeded: true } })
  wx.onNeedPrivacyAuthorization((resolve) => resolve({ event: 'agree', buttonId: 'agree' }))
  assert.equal((await failure(call('requirePrivacyAuthorize'))).errno, 104)
})

test('an exposure answers nothing yet', async () => {
  const phone = takePhone({ switches: { privacyNeeded: true } })
  phone.wx.onNeedPrivacyAuthorization((resolve) => {
    resolve({ event: 'exposureAuthorization' })
    phone.tapButton('agreePrivacyAuthorization', () => resolve({ event: 'agree', buttonId: 'b' }), 'b')
  })
  await phone.call('requirePrivacyAuthorize')
  assert.equal((await phone.call('getPrivacySetting')).needAuthorization, false)
})

test('base libraries before 2.32.3 know no privacy, and do not block', async () => {
  const { wx } = takePhone({ baseLibrary: '2.32.2', switches: { privacyNeeded: true } })
  assert.equal(wx.getPrivacySetting, undefined)
  assert.equal(wx.canIUse('onNeedPrivacyAuthorization'), false)
  assert.equal((await wx.getLocation()).errMsg, 'getLocation:ok')
})

test('the phone number button tells what happened in WeChat’s words', async () => {
  const phone = takePhone()
  const tap = () => phone.tapButton('getPhoneNumber', (event) => event)
  const { type, detail } = await tap()
  assert.deepEqual([type, Object.keys(detail).sort()], ['getphonenumber', ['code', 'encryptedData', 'errMsg', 'iv']])
  const told = []
  for (const name of ['refusePhone', 'noQuota', 'noPermission']) {
    phone.switches[name] = true
    told.push((await tap()).detail)
    phone.switches[name] = false
  }
  assert.deepEqual(told, [
    { errMsg: 'getPhoneNumber:fail user deny', errno: 103 },
    { errMsg: 'getPhoneNumber:fail no quota', errno: 1400001 },
    { errMsg: 'getPhoneNumber:fail no permission' }
  ])
})

test('the code of the phone number came with base library 2.21.2', async () => {
  for (const [baseLibrary, has] of [['2.21.1', false], ['2.21.2', true]]) {
    const detail = await takePhone({ baseLibrary }).tapButton('getPhoneNumber', (event) => event.detail)
    assert.equal('code' in detail, has)
  }
})

test('each call is traced when it begins and when it ends', async () => {
  const entries = []
  const { wx } = takePhone({ trace: (entry) => entries.push([entry.api, entry.phase, entry.status]) })
  await requested(wx, { url: `${GATE}/health` })
  assert.deepEqual(entries, [['request', 'begin', undefined], ['request', 'end', 200]])
})

test('an end is told after the promise that trace gives, with what was given and what came of it', async () => {
  const order = []
  const trace = async ({ api, phase, given, result }) => {
    order.push([api, phase === 'begin' ? typeof (given || {}).success : Object.keys(result)])
    await null
    if (phase === 'end') order.push('drawn')
  }
  const phone = takePhone({ trace })
  await phone.call('login')
  order.push('told')
  await phone.call('request', { url: `${GATE}/health` })
  order.push('told')
  await phone.tapButton('getRealtimePhoneNumber', () => order.push('told'))
  assert.deepEqual(order, [
    ['login', 'function'],
    ['login', ['code', 'errMsg']],
    'drawn',
    'told',
    ['request', 'function'],
    ['request', ['data', 'statusCode', 'header', 'cookies', 'errMsg']],
    'drawn',
    'told',
    ['button.getRealtimePhoneNumber', 'undefined'],
    ['button.getRealtimePhoneNumber', ['code', 'errMsg']],
    'drawn',
    'told'
  ])
})

test('in a browser it is a plain script that sets one name', () => {
  const file = path.join(__dirname, '..', '..', 'simulator', 'wx.js')
  const self = {}
  vm.runInNewContext(fs.readFileSync(file, 'utf8'), { self })
  assert.deepEqual(Object.keys(self), ['wxgateSimulator'])
  assert.equal(typeof createPhone, typeof self.wxgateSimulator.createPhone)
})
