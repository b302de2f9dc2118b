'use strict'
// The local stack that test/run.js started, as the tests see it.
const { createPhone } = require('../../simulator/wx.js')
const { createClient } = require('../miniprogram_dist/index.js')

const PORT = Number(process.env.WXGATE_PORT)
const APPID = 'wx4f4bc4dec97d474b'
const GATE = `http://127.0.0.1:${PORT}`
const WECHAT = `http://127.0.0.1:${PORT + 1}`

let users = 0

/** A phone of a user whom no other test knows. */
function takePhone(options) {
  if (!PORT) throw new Error('Run these tests by npm test: it starts the local stack.')
  const user = `${process.pid}-${++users}`
  return createPhone({ wechatUrl: WECHAT, appid: APPID, user, ...options })
}

/** The mini-program on that phone; each one starts with the phone's storage, as after a restart. */
function openProgram(phone, options) {
  return createClient({ baseUrl: GATE, wx: phone.wx, ...options })
}

async function post(url, body, headers) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body)
  })
  if (!answer.ok) throw new Error(`${url} ${answer.status}`)
}

/** Kills a token behind the phone's back. */
function revoke(token) {
  return post(`${GATE}/logout`, {}, { authorization: `Bearer ${token}` })
}

/** Orders a fault of WeChat's for this test's user alone. */
function fault(path, kind, user, times = 1) {
  return post(`${WECHAT}/control/fault`, { path, kind, times, user })
}

module.exports = { APPID, GATE, takePhone, openProgram, revoke, fault, post, WECHAT }
