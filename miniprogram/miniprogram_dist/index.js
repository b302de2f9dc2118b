'use strict'
// See index.d.ts. ES5: phones get it as it is.

// ms
var MARGIN = 30000
var GRACE = 5000

// "<function> <reason> #<errno>", the first match counts
var MEANINGS = {
  ABORTED: /^\w+ abort/,
  DOMAIN: /domain list|合法域名|(valid|bad|supported|的)[ _]?url|#6000(02|09|11)$/i,
  TIMEOUT: /time.{0,2}out|[超逾][时時]|#5$/i,
  NETWORK: /^(request|\w+File) (?!.*(parameter\.|\bfile\b))|net|connect|host|interrupt|[网網连連]|#(10[89]|60\d{4})$/i,
  LOGIN_REFUSED: /^login /,
  QUOTA: /quota|额度|#1400001$/,
  SYSTEM_DENIED: /system.*(permi|den|locat)|系统.{0,3}[权定]|switch.?off|#3$/i,
  USER_DENIED: /^(?!.*(priva|隐私|access|\bfile\b)).*(den[yi]|cancel|unauth|no response|拒|取消|#(1|103)$)/i,
  PRIVACY: /priva|隐私|#(104|112|10110\d)$/i,
  UNSUPPORTED: /^/
}
var REFUSED = /block|den[yi]|#(103|1402101)$/

function give(value) {
  return function () {
    return value
  }
}

function copy(to, from) {
  for (var it in from) if (from[it] !== undefined) to[it] = from[it]
  return to
}

function fault(code, errMsg, more) {
  return copy(copy(new Error(errMsg), more), { code: code, errMsg: errMsg })
}

function failure(name, res) {
  res = res || {}
  var errMsg = '' + (res.errMsg || res.message || name + ':fail')
  var subject = name + ' ' + errMsg.replace(/^((\w+:)?\s*fail\b[:\s]*)+/i, '') + ' #' + res.errno
  var code = ''
  for (code in MEANINGS) if (MEANINGS[code].test(subject)) break
  return fault(code, errMsg, { errno: res.errno, cause: res })
}

function loggedOut() {
  return fault('LOGGED_OUT', 'logged out')
}

function tapAgain(err) {
  return fault('TAP_AGAIN', 'tap again', { cause: err })
}

function markOf(res, name) {
  for (var it in res.header) if (it.toLowerCase() === 'x-wxgate-' + name) return '' + res.header[it]
}

function refusal(res) {
  var gate = markOf(res, 'error')
  var code = gate === 'InvalidToken' ? 'NOT_LOGGED_IN' : gate ? 'GATE_' + gate : 'NETWORK'
  var errMsg = 'request:fail ' + ((res.data || {}).Message || res.statusCode)
  return fault(code, errMsg, { gate: gate, response: res })
}

// Strange characters stay: no host in disguise equals ours.
function originOf(url) {
  var found = /^[a-z][a-z\d+.-]*:\/\/[^\/?#]+/i.exec(url)
  return found && found[0].toLowerCase()
}

function createClient(options) {
  options = options || {}
  var api = options.wx || (typeof wx === 'undefined' ? 0 : wx)
  var base = ('' + options.baseUrl).replace(/\/+$/, '')
  var home = originOf(base)
  if (!api || !home) throw fault('UNSUPPORTED', 'no baseUrl or wx')
  var key = options.storageKey || 'wxgate:' + base
  var limit = options.timeout || 60000
  var listeners = {}
  var saved = {}
  var stuck, flight, ensuring
  var sheets = []

  function emit(event, payload) {
    ;(listeners[event] || []).slice().forEach(function (fn) {
      try {
        fn(payload)
      } catch (e) {
        console.error(e)
      }
    })
  }

  function add(list, item, after) {
    list.push(item)
    return function () {
      var at = list.indexOf(item)
      if (at < 0) return
      list.splice(at, 1)
      if (after) after()
    }
  }

  function on(event, fn) {
    return add((listeners[event] = listeners[event] || []), fn)
  }

  function storage(method, value) {
    try {
      return api[method](key, value) || {}
    } catch (e) {
      if (stuck) return
      stuck = true
      emit('storageError', e)
    }
  }

  // The storage is the truth: clients share it. Memory stands in where it fails.
  function session() {
    var found = storage('getStorageSync')
    var ours = found && (typeof found.token === 'string' || found.exit)
    if (ours || (found && !stuck)) saved = ours ? found : {}
    return saved
  }

  // {token, expiresAt, pending, exit: the last logout's number}
  function save(old, more) {
    saved = copy(copy({}, old), more)
    stuck = !storage('setStorageSync', saved)
    if (stuck) storage('removeStorageSync')
  }

  function usable() {
    return session().token && !(saved.expiresAt - MARGIN <= Date.now())
  }

  function state() {
    return { loggedIn: !!usable(), loggedOut: !saved.token && !!saved.exit, expiresAt: saved.expiresAt }
  }

  function leftSince(exit) {
    return session().exit && saved.exit !== exit
  }

  // WeChat for PC hands refusals to fail.
  function call(name, o, life) {
    var args = copy(copy({}, { timeout: options.timeout }), o)
    delete args.complete
    return new Promise(function (resolve, reject) {
      args.success = function (res) {
        resolve(res || {})
      }
      args.fail = function (res) {
        if (res && res.statusCode > 99) resolve(res)
        else reject(failure(name, res))
      }
      try {
        life.task = api[name](args)
      } catch (e) {
        args.fail(e)
      }
    })
  }

  // life.over: nobody waits any more
  function limited(name, work, ms) {
    var life = {}
    var promise = new Promise(function (resolve, reject) {
      function settle(how, it) {
        life.over = true
        clearTimeout(timer)
        how(it)
      }
      life.end = function (reason) {
        var task = !life.over && life.task
        settle(reject, failure(name, { errMsg: name + ':fail ' + reason }))
        if (task && task.abort) task.abort()
      }
      var timer = setTimeout(life.end.bind(0, 'timeout'), +(ms || limit) + GRACE)
      work(life).then(settle.bind(0, resolve), settle.bind(0, reject))
    })
    return copy(promise, { abort: life.end.bind(0, 'abort') })
  }

  function quick(name) {
    return limited(name, call.bind(0, name, {}))
  }

  function argsOf(path, data, header) {
    return { url: base + path, method: data && 'POST', data: data && copy({}, data), header: header }
  }

  function attemptLogin(life, last) {
    var code
    // checkSession judges by the last code, which the gate may never see.
    save(session(), { pending: true })
    return call('login', {}, life)
      .then(function (res) {
        if (life.over) throw 0
        code = res.code
        if (!code) throw failure('login', res)
        return call('request', argsOf('/login', { code: code, appid: options.appid, replaces: session().token }), life)
      })
      .then(function (res) {
        if (res.data && res.data.token) return res.data
        throw copy(refusal(res), { code: 'LOGIN_REFUSED' })
      })
      .then(null, function (err) {
        var again = code ? /InvalidCode|WeChat(Busy|Unavail)/.test(err.gate) : !REFUSED.test(err.errMsg + '#' + err.errno)
        if (last || life.over || !again) throw err
        return attemptLogin(life, true)
      })
  }

  function login() {
    if (flight) return flight
    var exit = session().exit

    function work(life) {
      return attemptLogin(life).then(function (data) {
        if (!life.over && !leftSince(exit)) {
          save({ exit: exit }, { token: data.token, expiresAt: Date.now() + (data.expires_in || NaN) * 1000 || undefined })
          return saved
        }
        function leave() {
          throw loggedOut()
        }
        return call('request', argsOf('/logout', {}, { Authorization: 'Bearer ' + data.token }), life).then(leave, leave)
      })
    }
    function end(event, it) {
      if (flight === mine) flight = 0
      emit(event, it)
      return it
    }
    var mine = (flight = limited('login', work).then(end.bind(0, 'login'), function (err) {
      throw end('loginError', err)
    }))
    return mine
  }

  function ensureLogin(stale) {
    if (flight) return flight
    if (usable() && saved.token !== stale) return Promise.resolve(saved)
    return state().loggedOut ? Promise.reject(loggedOut()) : login()
  }

  function exchange(name, o) {
    var url = '' + o.url
    if (!originOf(url)) url = base + '/' + url.replace(/^\//, '')
    var ours = originOf(url) === home
    var mayLogin = ours && o.login !== false
    var method = (o.method || 'GET').toUpperCase()
    var exit = session().exit

    function attempt(life, again) {
      if (life.over) throw 0
      if (mayLogin && leftSince(exit)) throw loggedOut()
      var token = ours && session().token
      var header = copy({}, o.header)
      var args = copy(copy({}, o), { url: url, header: header })
      var seen
      if (token) {
        for (var it in header) if (/^authorization$/i.test(it)) delete header[it]
        header.Authorization = 'Bearer ' + token
      }
      if (method === 'PATCH') {
        header['X-HTTP-Method-Override'] = method
        args.method = 'POST'
      }
      var job = call(name, args, life)
      var task = life.task
      if (task && task.onHeadersReceived) {
        task.onHeadersReceived(function (res) {
          seen = res.header
        })
      }
      if (task && o.onTask) o.onTask(task)
      return job.then(function (res) {
        res = copy({ header: seen || res.headers }, res)
        var gate = ours && markOf(res, 'error')
        var refused = gate === 'InvalidToken'
        var dead = token && markOf(res, 'token') === 'dead'

        function answer(err) {
          if (err && !dead) throw err
          if (gate) throw refusal(res)
          return res
        }
        if (!refused && !dead) return answer()
        if (token && session().token === token) save(saved, { expiresAt: 1 })
        if (!mayLogin || again || life.over) return answer()
        return ensureLogin(token).then(function () {
          if (life.over || o.replay === false || !(refused || (method === 'GET' && name !== 'uploadFile'))) return answer()
          emit('replay', { url: url })
          return attempt(life, true)
        }, answer)
      })
    }

    function begin(life) {
      return mayLogin && !usable() ? ensureLogin().then(attempt.bind(0, life, false)) : attempt(life)
    }
    var promise = limited(name, begin, o.timeout)
    if (o.success || o.fail || o.complete) {
      promise.then(o.success, o.fail || give())
      promise.then(o.complete, o.complete || give())
    }
    return promise
  }

  function verb(method, url, data, o) {
    return exchange('request', copy({ url: url, data: data, method: method }, o))
  }

  function gate(path, data, login) {
    return exchange('request', copy(argsOf(path, data), { login: login })).then(function (res) {
      if (res.statusCode >= 300) throw refusal(res)
      return res.data
    })
  }

  function logout(o) {
    var all = !!(o && o.everywhere)
    var rest = Promise.resolve(flight).then(give(), give())
    var sent = all || session().token ? gate('/logout', all ? { everywhere: true } : {}, false) : rest
    flight = 0
    save({}, { exit: Math.random() })
    emit('logout', { everywhere: all })
    return sent.then(give(rest), function (err) {
      if (all || err.code !== 'NOT_LOGGED_IN') throw err
      return rest
    })
  }

  function freshen(ask) {
    var sent = session().token
    var good = usable() && !flight && !saved.pending

    function check(res) {
      good = good && res.valid !== false && res.code !== 'NOT_LOGGED_IN'
      return good && quick('checkSession').then(give(true), give(false))
    }
    return Promise.resolve(good && ask && gate('/session', undefined, false))
      .then(check, check)
      .then(function (res) {
        return res ? { renewed: false } : ensureLogin(sent).then(give({ renewed: true }))
      })
  }

  function ensureSession() {
    function end() {
      ensuring = 0
    }
    if (!ensuring) {
      ensuring = limited('checkSession', freshen.bind(0, true))
      ensuring.then(end, end)
    }
    return ensuring
  }

  function decrypt(detail, o) {
    if (!detail || !detail.encryptedData) return Promise.reject(failure('button', detail))
    var body = {
      kind: (o || {}).kind,
      encryptedData: detail.encryptedData,
      iv: detail.iv,
      rawData: detail.rawData,
      signature: detail.signature
    }

    function open(res) {
      var sent = session().token
      return gate('/decrypt', body, false).then(null, function (err) {
        if (!/DecryptFailed|NOT_LOGGED_IN/.test(err.code)) throw err
        if (res.renewed) throw tapAgain(err)
        return ensureLogin(sent).then(give({ renewed: true })).then(open)
      })
    }
    return limited('decrypt', function () {
      return (ensuring || Promise.reject()).then(null, freshen.bind(0, false)).then(open)
    })
  }

  function phone(detail) {
    if (!detail || !detail.code) return decrypt(detail, { kind: 'phone' })
    return gate('/phone', { code: detail.code }).then(null, function (err) {
      throw err.code === 'GATE_InvalidCode' ? tapAgain(err) : err
    })
  }

  function sign(data) {
    var ask = gate.bind(0, '/sign', { data: data }, undefined)
    return Promise.resolve(ensuring)
      .then(ask, ask)
      .then(function (res) {
        return res.signature
      })
  }

  function settingResult(detail, scope) {
    if (detail && detail.authSetting && detail.authSetting[scope]) return Promise.resolve(true)
    return Promise.reject(fault('NEEDS_SETTING', 'authorize:fail auth deny'))
  }

  function authorize(scope) {
    return quick('getSetting').then(function (res) {
      if (scope in (res.authSetting || {})) return settingResult(res, scope)
      return call('authorize', { scope: scope }, {}).then(give(true))
    })
  }

  function optional(name, run, otherwise) {
    return api[name] ? run(name, {}, {}) : Promise.resolve(otherwise)
  }

  function onNeed(fn) {
    var waiting = []
    function answer(event, buttonId) {
      waiting.splice(0).forEach(function (resolve) {
        resolve(copy({}, { event: event, buttonId: buttonId }))
      })
    }
    var disagree = answer.bind(0, 'disagree', undefined)

    function show(resolve, info) {
      waiting.push(resolve)
      fn({ referrer: info && info.referrer, agree: answer.bind(0, 'agree'), disagree: disagree })
    }
    if (api.onNeedPrivacyAuthorization) {
      api.onNeedPrivacyAuthorization(function (resolve, info) {
        var top = sheets[sheets.length - 1]
        if (top) top(resolve, info)
        else resolve({ event: 'disagree' })
      })
    }
    return add(sheets, show, disagree)
  }

  return {
    login: login,
    ensureLogin: ensureLogin,
    ensureSession: ensureSession,
    state: state,
    request: exchange.bind(0, 'request'),
    get: verb.bind(0, 'GET'),
    post: verb.bind(0, 'POST'),
    put: verb.bind(0, 'PUT'),
    patch: verb.bind(0, 'PATCH'),
    del: verb.bind(0, 'DELETE'),
    upload: exchange.bind(0, 'uploadFile'),
    download: exchange.bind(0, 'downloadFile'),
    decrypt: decrypt,
    phone: phone,
    sign: sign,
    authorize: authorize,
    settingResult: settingResult,
    privacy: {
      status: optional.bind(0, 'getPrivacySetting', quick, { needAuthorization: false }),
      require: optional.bind(0, 'requirePrivacyAuthorize', call),
      onNeed: onNeed
    },
    logout: logout,
    on: on
  }
}

module.exports = { createClient: createClient }
