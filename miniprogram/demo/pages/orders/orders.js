const { tell, accepted } = require('../../words')
const client = require('../../client')

function text(value) {
  const whole = value !== null && typeof value === 'object' ? JSON.stringify(value) : String(value)
  return whole.length > 40 ? whole.slice(0, 40) + '…' : whole
}

function orderRow(order, i) {
  return { id: text(order.id || i), name: text(order.title || order.name || order.id || order), value: text(order.status || '') }
}

// 本地环境的业务 API 只会回声：列出网关转给它的东西。
function echoRows(echo) {
  const headers = echo.headers || {}
  const row = (name, value) => ({ id: name, name, value: text(value) })
  return [row('请求', echo.method + ' ' + echo.path + (echo.query ? '?' + echo.query : ''))]
    .concat(Object.keys(headers).map((name) => row(name, headers[name])))
}

// 真的业务 API 给出数组，或把它放在 orders、items、list 里。
function rowsOf(data) {
  const list = [data, data.orders, data.items, data.list].filter(Array.isArray)[0]
  if (list) return list.map(orderRow)
  return data.path ? echoRows(data) : []
}

Page({
  data: { rows: [], loaded: false, failed: false, loggedOut: false },

  onLoad() {
    return this.load()
  },

  // 没有登录？客户端先登录再发；token 被拒绝？登录一次，再发一次。页面不用管。
  // 只有用户退出过才要管：客户端不再自动登录，等用户点「登录」。
  load() {
    return client.get('/api/orders', { page: 1 })
      .then(accepted)
      .then((data) => this.setData({ rows: rowsOf(data || []), loaded: true, failed: false, loggedOut: false }))
      .catch((err) => {
        const loggedOut = err.code === 'LOGGED_OUT'
        this.setData({ rows: [], loaded: false, failed: !loggedOut, loggedOut })
        if (!loggedOut) tell(err)
      })
  },

  login() {
    return client.login().then(() => this.load(), tell)
  }
})
