'use strict'
// A wx in memory, for what the real stack cannot be made to do; callbacks only, as on old base libraries.
const { createClient } = require('../miniprogram_dist/index.js')

const HOME = 'https://api.example.com'

const ok = (data = {}, header = {}) => ({ statusCode: 200, data, header, errMsg: 'request:ok' })
const refusal = (Code, statusCode = 401, name = 'X-Wxgate-Error') => ({
  statusCode,
  data: { Code, Message: `${Code}.` },
  header: { [name]: Code },
  errMsg: 'request:ok'
})

const dead = (data = {}) => ok(data, { 'X-Wxgate-Token': 'dead' })

/**
 * `answer(request)` gives the gate's answer, a failure `{errMsg}` without statusCode, or null for no answer at all, at
 * once or by promise. `how`: 'async', or 'sync' for callbacks before the call returns. `storage` is another phone's, or the
 * same one's after a restart.
 */
function fakeWx(answer, how = 'async', storage = new Map()) {
  const requests = []
  const later = how === 'sync' ? (fn) => fn() : (fn) => setTimeout(fn, 0)
  const wx = {
    codes: 0,
    checks: 0,
    requests,
    storage,
    login: (o) => later(() => o.success({ code: `code-${++wx.codes}`, errMsg: 'login:ok' })),
    checkSession: (o) => {
      wx.checks++
      later(() => o.success({ errMsg: 'checkSession:ok' }))
    },
    getStorageSync: (key) => (storage.has(key) ? JSON.parse(storage.get(key)) : ''),
    setStorageSync: (key, value) => void storage.set(key, JSON.stringify(value)),
    removeStorageSync: (key) => void storage.delete(key),
    request: (o) => send('request', o),
    uploadFile: (o) => send('uploadFile', o),
    downloadFile: (o) => send('downloadFile', o),
    sent: (part) => requests.filter((request) => request.url.includes(part))
  }

  function send(api, o) {
    const request = { ...o, api, header: { ...o.header } }
    requests.push(request)
    const heard = []
    const reply = (res) => {
      if (!res || request.aborted) return
      later(() => {
        if (api !== 'request' && res.header) heard.forEach((listener) => listener({ header: res.header }))
        const { header, ...bare } = res
        // WeChat for PC: any refused answer goes to fail.
        if (res.statusCode && !(wx.pc && res.statusCode >= 400)) o.success(api === 'request' ? res : bare)
        else o.fail(wx.pc ? { ...res, errMsg: `${api}:fail` } : res)
        if (o.complete) o.complete(res)
      })
    }
    const res = answer(request, wx)
    if (res && res.then) res.then(reply)
    else reply(res)
    if (how === 'sync') return undefined
    return {
      abort() {
        request.aborted = true
        later(() => o.fail({ errMsg: `${api}:fail abort` }))
      },
      onHeadersReceived: (listener) => heard.push(listener)
    }
  }
  return wx
}

/** A gate of one user that keeps one token: each login kills the one before. */
function strictGate(options = {}) {
  const gate = { live: null, logins: 0, late: options.late || (() => null), first: options.firstLogin }
  gate.answer = (request) => {
    if (request.url === `${HOME}/login`) {
      gate.logins++
      if (gate.first && gate.logins === 1) return gate.first
      gate.live = `token-${gate.logins}`
      return ok({ token: gate.live, expires_in: 7200 })
    }
    const good = gate.live && request.header.Authorization === `Bearer ${gate.live}`
    const res = good ? ok({ path: request.url }) : refusal('InvalidToken')
    const wait = good ? null : gate.late(request)
    return wait ? new Promise((resolve) => setTimeout(resolve, wait, res)) : res
  }
  return gate
}

function clientOf(wx, options) {
  return createClient({ baseUrl: HOME, wx, ...options })
}

/** What a promise rejects with. */
function rejection(promise) {
  return promise.then(
    (value) => {
      throw new Error(`resolved with ${JSON.stringify(value)}`)
    },
    (err) => err
  )
}

const pause = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms))

/** A gate by path: values are answers, or functions of the request; /login gives token-1, token-2 … */
function gateOf(routes) {
  let logins = 0
  const login = () => ok({ token: `token-${++logins}`, expires_in: 7200 })
  return (request, wx) => {
    const path = request.url.replace(HOME, '').split('?')[0]
    const route = { '/login': login, '/session': ok({ valid: true }), '/logout': { ...ok(''), statusCode: 204 }, ...routes }[path]
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

/** An answer that the test gives later, by `give`. */
function later() {
  let give
  const promise = new Promise((resolve) => (give = resolve))
  return { promise, give }
}

/** Lets everything run that waits for no timer. */
async function settle() {
  for (let i = 0; i < 50; i++) await Promise.resolve()
}

module.exports = { HOME, ok, refusal, dead, fakeWx, strictGate, gateOf, clientOf, loggedIn, inTurn, later, rejection, pause, settle }
