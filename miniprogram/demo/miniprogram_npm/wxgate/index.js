'use strict'
// See index.d.ts. ES5, since npm build ships this file as it is.

var MARGIN = 30000 // ms before its end that a token ends here
var PATIENCE = 60000 // ms

// "<function> <errMsg> #<errno>", the first match counts
var MEANINGS = {
  ABORTED: /fail abort/,
  TIMEOUT: /#5$|time.{0,2}out/i,
  NETWORK: /^(request|\w+File) |net(work|::)/i,
  QUOTA: /#1400001$|quota/i,
  PRIVACY: /#1(04|12)$|privacy/i,
  USER_DENIED: /#103$|den[yi]|cancel/i,
  LOGIN_REFUSED: /^login /,
  UNSUPPORTED: /^/
}

function give(value) {
  return function () {
    return value
  }
}

function copy(to, from) {
  for (var name in from) if (from[name] !== undefined) to[name] = from[name]
  return to
}

function fault(code, errMsg, more) {
  return copy(copy(new Error(errMsg), { code: code, errMsg: errMsg }), more)
}

function failure(name, res) {
  res = res || {}
  var errMsg = res.errMsg || res.message || name + ':fail'
  var code = ''
  for (code in MEANINGS) if (MEANINGS[code].test(name + ' ' + errMsg + ' #' + res.errno)) break
  return fault(code, errMsg, { errno: res.errno, cause: res })
}

function markOf(header) {
  for (var name in header) if (/^x-wxgate-error$/i.test(name)) return header[name]
}

function refusal(res, code) {
  var gate = markOf(res.header)
  var words = (res.data && res.data.Message) || res.statusCode
  code = code || (gate === 'InvalidToken' ? 'NOT_LOGGED_IN' : gate ? 'GATE_' + gate : 'NETWORK')
  return fault(code, 'request:fail ' + words, { gate: gate, response: res })
}

function tapAgain(cause) {
  return fault('TAP_AGAIN', 'button:fail tap again', { cause: cause })
}

// Odd characters stay: no disguised host equals ours.
function originOf(url) {
  var found = /^[a-z][a-z\d+.-]*:\/\/[^\/?#]+/i.exec(url)
  return found && found[0].toLowerCase()
}

function createClient(options) {
  options = options || {}
  var api = options.wx || (typeof wx === 'undefined' ? 0 : wx)
  var base = ('' + options.baseUrl).replace(/\/+$/, '')
  var home = originOf(base)
  if (!api || !home) throw fault('UNSUPPORTED', 'baseUrl or wx is missing')
  var key = options.storageKey || 'wxgate:' + base // one gate, one token
  var limit = options.timeout || PATIENCE
  var listeners = {}
  var saved
  var flight, ensuring
  var logouts = 0
  var sheets = []
  var waiting = []

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
      return api[method](key, value)
    } catch (e) {
      emit('storageError', e)
    }
  }

  function session() {
    saved = saved || storage('getStorageSync')
    if (!saved || typeof saved.token !== 'string') saved = {}
    return saved
  }

  function save(token, expiresAt, pending) {
    saved = copy({}, { token: token, expiresAt: expiresAt, pending: pending })
    storage(token || pending ? 'setStorageSync' : 'removeStorageSync', saved)
  }

  function usable() {
    return session().token && !(saved.expiresAt - MARGIN <= Date.now())
  }

  function call(name, args, limit) {
    var task
    var promise = new Promise(function (resolve, reject) {
      var timer = limit && setTimeout(fail, limit, { errMsg: name + ':fail timeout' })
      function fail(res) {
        clearTimeout(timer)
        reject(failure(name, res))
      }
      args.fail = fail
      args.success = function (res) {
        clearTimeout(timer)
        resolve(res || {})
      }
      try {
        task = api[name](args)
      } catch (e) {
        fail(e)
      }
    })
    return copy(promise, { task: task })
  }

  function argsOf(path, data) {
    return copy({ url: base + path, timeout: limit }, data && { method: 'POST', data: data })
  }

  function attemptLogin(again) {
    var old = session()
    // checkSession judges by the last code, which the gate may never see.
    save(old.token, old.expiresAt, true)
    return call('login', { timeout: limit }, limit)
      .then(function (res) {
        if (!res.code) throw failure('login', res)
        var body = copy({}, { code: res.code, appid: options.appid, replaces: old.token })
        return call('request', argsOf('/login', body), limit)
      })
      .then(function (res) {
        var data = res.data || {}
        if (!again && markOf(res.header) === 'InvalidCode') return attemptLogin(true)
        if (res.statusCode !== 200 || !data.token) throw refusal(res, 'LOGIN_REFUSED')
        save(data.token, Date.now() + data.expires_in * 1000 || undefined)
        return saved
      })
  }

  function login() {
    flight = flight || attemptLogin().then(
      function (res) {
        flight = 0
        emit('login', res)
        return res
      },
      function (err) {
        flight = 0
        emit('loginError', err)
        throw err
      }
    )
    return flight
  }

  function ensureLogin() {
    return flight || !usable() ? login() : Promise.resolve(saved)
  }

  // Logs in, unless somebody did since this was sent.
  function renew(sent) {
    if (!flight) {
      if (session().token && saved.token !== sent) return Promise.resolve(saved)
      save(sent, 1)
    }
    return login()
  }

  function exchange(name, o) {
    var url = '' + o.url
    if (!originOf(url)) url = base + '/' + url.replace(/^\//, '')
    var ours = originOf(url) === home
    var born = logouts
    var over, task, stop

    function attempt(again) {
      var token = ours && session().token
      var args = copy(copy({}, { timeout: options.timeout }), o)
      var seen
      args.url = url
      args.header = copy({}, o.header)
      if (token) {
        delete args.header.authorization
        args.header.Authorization = 'Bearer ' + token
      }
      delete args.complete
      var job = call(name, args)
      task = job.task
      if (task && task.onHeadersReceived) {
        task.onHeadersReceived(function (res) {
          seen = res.header
        })
      }
      if (task && o.onTask) o.onTask(task)
      return job.then(function (res) {
        task = 0
        res = copy({ header: seen }, res)
        if (!ours || !markOf(res.header)) return res
        var err = refusal(res)
        // No straggler undoes a logout.
        if (err.code !== 'NOT_LOGGED_IN' || over || again || o.login === false || born !== logouts) throw err
        return renew(token).then(function () {
          if (over || o.replay === false) throw err
          emit('replay', { url: url })
          return attempt(true)
        })
      })
    }

    var promise = new Promise(function (resolve, reject) {
      stop = reject
      attempt().then(resolve, reject)
    })
    if (o.success || o.fail || o.complete) {
      promise.then(o.success, o.fail || give())
      promise.then(o.complete, o.complete || give())
    }
    return copy(promise, {
      abort: function () {
        over = true
        stop(fault('ABORTED', name + ':fail abort'))
        if (task && task.abort) task.abort()
      }
    })
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
    var all = !!(o || {}).everywhere
    function go() {
      var told = all || session().token ? gate('/logout', all ? { everywhere: true } : {}, false) : Promise.resolve()
      logouts++
      save()
      emit('logout', { everywhere: all })
      return told.then(give(), function (err) {
        if (all || err.code !== 'NOT_LOGGED_IN') throw err
      })
    }
    // A login under way would bring the token back.
    return flight ? flight.then(go, go) : go()
  }

  function ready() {
    return !flight && usable() && !saved.pending
  }

  function check() {
    return call('checkSession', {}, limit).then(give(true), give(false))
  }

  function ensureSession() {
    var sent = session().token
    function end() {
      ensuring = 0
    }
    if (ensuring) return ensuring
    var accepted = ready() && gate('/session', 0, false).then(null, function (err) {
      return { valid: err.code !== 'NOT_LOGGED_IN' }
    })
    ensuring = Promise.resolve(accepted)
      .then(function (res) {
        return res && res.valid !== false && check()
      })
      .then(function (res) {
        return res ? { renewed: false } : renew(sent).then(give({ renewed: true }))
      })
    ensuring.then(end, end)
    return ensuring
  }

  function decrypt(detail, o) {
    if (!detail || !detail.encryptedData || !o || !o.kind) return Promise.reject(failure('button', detail))
    var sent = session().token
    var body = { kind: o.kind, encryptedData: detail.encryptedData, iv: detail.iv }
    copy(body, { rawData: detail.rawData, signature: detail.signature })

    function open(last) {
      sent = session().token
      return gate('/decrypt', body, false).then(null, function (err) {
        if (err.code !== 'GATE_DecryptFailed' && err.code !== 'NOT_LOGGED_IN') throw err
        if (last) throw tapAgain(err)
        return relogin(err, flight || saved.token !== sent)
      })
    }
    // The data belong to the key before; the gate may still hold it.
    function relogin(cause, worthATry) {
      return renew(sent).then(function () {
        if (worthATry || o.optimistic) return open(true)
        throw tapAgain(cause)
      })
    }
    return Promise.resolve(ready() && check()).then(function (alive) {
      return alive ? open() : relogin()
    })
  }

  function phone(detail, o) {
    if (!detail || !detail.code) return decrypt(detail, copy({ kind: 'phone' }, o))
    return ensureLogin()
      .then(function () {
        return gate('/phone', { code: detail.code })
      })
      .then(null, function (err) {
        throw err.code === 'GATE_InvalidCode' ? tapAgain(err) : err
      })
  }

  function settingResult(detail, scope) {
    if (detail && detail.authSetting && detail.authSetting[scope]) return Promise.resolve(true)
    return Promise.reject(fault('NEEDS_SETTING', 'authorize:fail auth deny'))
  }

  function authorize(scope) {
    return call('getSetting', {}, limit).then(function (res) {
      if (res.authSetting && scope in res.authSetting) return settingResult(res, scope)
      return call('authorize', { scope: scope }).then(give(true))
    })
  }

  function privately(name, otherwise) {
    return api[name] ? call(name, {}) : Promise.resolve(otherwise)
  }

  function onNeed(fn) {
    function answer(event, buttonId) {
      waiting.splice(0).forEach(function (resolve) {
        resolve(copy({}, { event: event, buttonId: buttonId }))
      })
    }
    function disagree() {
      answer('disagree')
    }
    if (api.onNeedPrivacyAuthorization) {
      api.onNeedPrivacyAuthorization(function (resolve, info) {
        waiting.push(resolve)
        if (!sheets.length) return disagree()
        sheets[sheets.length - 1]({ referrer: (info || {}).referrer, agree: answer.bind(0, 'agree'), disagree: disagree })
      })
    }
    return add(sheets, fn, disagree)
  }

  return {
    login: login,
    ensureLogin: ensureLogin,
    ensureSession: ensureSession,
    request: exchange.bind(0, 'request'),
    get: verb.bind(0, 'GET'),
    post: verb.bind(0, 'POST'),
    put: verb.bind(0, 'PUT'),
    del: verb.bind(0, 'DELETE'),
    upload: exchange.bind(0, 'uploadFile'),
    download: exchange.bind(0, 'downloadFile'),
    decrypt: decrypt,
    phone: phone,
    authorize: authorize,
    settingResult: settingResult,
    privacy: {
      status: privately.bind(0, 'getPrivacySetting', { needAuthorization: false }),
      require: privately.bind(0, 'requirePrivacyAuthorize'),
      onNeed: onNeed
    },
    logout: logout,
    on: on
  }
}

module.exports = { createClient: createClient }
