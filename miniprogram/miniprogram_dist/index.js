'use strict'
// ES5; see index.d.ts

// ms
var MARGIN = 30000
var GRACE = 5000

// of "<api> <errMsg> #<errno>", in order
var MEANINGS = {
  ABORTED: /^\w+ (\w+:|fail\W*)*abort/,
  DOMAIN: /domain.*list|法.?域|域.{0,3}[白列合]|(bad|formed|ported|valid|legal|[的效法])[ _]?(url|[网網]址)|(url|[网網]址).{0,7}(not|bad|formed|ported|valid|legal|[不效非错錯])|#6000(02|09|11)$/i,
  TIMEOUT: /time.{0,2}out|[超逾][时時]|#5$/i,
  NETWORK: /^(request|\w+File) (?!.*(parameter\.|\bfile\b))|net|conn|host|socket|dns|ssl|offl|interrupt|[网網连連线線]|解析|#(10[89]|60\d{4})$/i,
  LOGIN_REFUSED: /^login /,
  QUOTA: /quota|额|額|#1400001$/,
  SYSTEM_DENIED: /(system|\bos).{0,9}(permi|den|locat)|by sys|系.[^错錯]{0,3}[权權定设設拒]|(locat|gps).*(off|disab|not en)|[未没开].*定位|没有..权限|定位.*[未关關]|#3$/i,
  USER_DENIED: /^(?!.*(priva|私|access|\bfile\b)).*(unauth|no response|不同意|den[yi]|cancel|reject|refuse|拒|取消|#(1|103)$)/i,
  PRIVACY: /priva|私|#(104|112|10110\d)$/i,
  UNSUPPORTED: /^/
}
var REFUSED = /^LOGIN_REFUSED.*(block|bann|禁|den[yi]|cancel|reject|refuse|拒|取消|#(1|103|1402101)$)/i

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
  var code = ''
  for (code in MEANINGS) if (MEANINGS[code].test(name + ' ' + errMsg + ' #' + res.errno)) break
  return fault(code, errMsg, { errno: res.errno, cause: res })
}

function markOf(res, name) {
  for (var it in res.header) if (it.toLowerCase() === 'x-wxgate-' + name) return '' + res.header[it]
}

function refusal(res) {
  var gate = markOf(res, 'error')
  var code = gate === 'InvalidToken' ? 'NOT_LOGGED_IN' : gate ? 'GATE_' + gate : 'NETWORK'
  return fault(code, 'request:fail ' + ((res.data || {}).Message || res.statusCode), { gate: gate, response: res })
}

function put(header, name, value) {
  for (var it in header) if (it.toLowerCase() === name.toLowerCase()) delete header[it]
  header[name] = value
}

// No host in disguise equals ours.
function originOf(url) {
  return (/^[a-z][\w+.-]*:\/\/[^\/?#]+/.exec(url.toLowerCase()) || [])[0]
}

function createClient(options) {
  options = options || {}
  var api = options.wx || (typeof wx === 'undefined' ? 0 : wx)
  var base = ('' + options.baseUrl).replace(/\/+$/, '')
  if (!api || !originOf(base)) throw fault('UNSUPPORTED', 'no baseUrl or wx')
  var listeners = {}
  var saved = {}
  var flight, ensuring, unsaved, quiet
  var flying = { over: true }
  var opening = flying

  function emit(event, it) {
    ;(listeners[event] || []).slice().forEach(function (fn) {
      try {
        fn(it)
      } catch (e) {
        console.error(e)
      }
    })
  }

  function add(list, it, after) {
    list.push(it)
    return function () {
      var at = list.indexOf(it)
      if (at >= 0) list.splice(at, 1)
      after()
    }
  }

  function on(event, fn) {
    return add((listeners[event] = listeners[event] || []), fn, give())
  }

  function storage(method, value) {
    try {
      return api[method](options.storageKey || 'wxgate:' + base, value) || {}
    } catch (e) {
      if (quiet) return
      quiet = true
      emit('storageError', e)
    }
  }

  function write() {
    quiet = unsaved = !storage('setStorageSync', saved) && saved
  }

  function session() {
    var found = storage('getStorageSync')
    if (!found) return saved
    if (typeof found.token === 'string' || found.exit) saved = found
    else if (unsaved === saved) write()
    else saved = {}
    return saved
  }

  // {token, expiresAt, pending, exit: the last logout's number}
  function save(more, from) {
    saved = copy(copy({}, from), more)
    write()
    if (unsaved) storage('removeStorageSync')
  }

  function usable() {
    return session().token && !(saved.expiresAt - MARGIN <= Date.now())
  }

  function state() {
    return { loggedIn: !!usable(), loggedOut: !!(saved.exit && !saved.token), expiresAt: saved.expiresAt }
  }

  // ended, or before the last logout
  function gone(life) {
    return life.over || (session().exit && saved.exit !== life.exit)
  }

  function stay(life) {
    if (gone(life)) throw fault('LOGGED_OUT', 'logged out')
  }

  // WeChat for PC fails refusals.
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

  function limited(name, work, ms) {
    var life = { exit: session().exit }
    var promise = new Promise(function (resolve, reject) {
      function settle(how, event, it) {
        if (life.over) return
        life.over = true
        clearTimeout(timer)
        if (name === 'login') emit(event, it)
        how(it)
      }
      var fail = settle.bind(0, reject, 'loginError')
      life.end = function (reason) {
        var task = life.task
        if (life.over) return
        fail(failure(name, { errMsg: name + ':fail ' + reason }))
        if (task && task.abort) task.abort()
      }
      var timer = setTimeout(life.end.bind(0, 'timeout'), +(ms || options.timeout || 60000) + GRACE)
      work(life).then(settle.bind(0, resolve, name), fail)
    })
    return copy(promise, { abort: life.end.bind(0, 'abort') })
  }

  function quick(name) {
    return limited(name, call.bind(0, name, {}))
  }

  function argsOf(path, data, header) {
    return { url: base + path, method: data && 'POST', data: data && copy({}, data), header: header }
  }

  function tryLogin(life, last) {
    var code
    stay(life)
    flying = life
    // checkSession judges by the last code, sent or not.
    save({ pending: true }, session())
    return call('login', {}, life)
      .then(function (res) {
        code = res.code
        stay(life)
        if (!code) throw failure('login', res)
        return call('request', argsOf('/login', { code: code, appid: options.appid, replaces: session().token }), life)
      })
      .then(function (res) {
        var data = res.data || {}
        if (!data.token) throw copy(refusal(res), { code: 'LOGIN_REFUSED' })
        if (gone(life)) {
          return call('request', argsOf('/logout', {}, { Authorization: 'Bearer ' + data.token }), life).then(stay.bind(0, life), stay.bind(0, life))
        }
        save({ exit: life.exit, token: data.token, expiresAt: Date.now() + (data.expires_in || NaN) * 1000 || undefined })
        return saved
      })
      .then(null, function (err) {
        var end = code ? !/InvalidCode|WeChat(Busy|Unavail)/.test(err.gate) : REFUSED.test(err.code + err.errMsg + '#' + err.errno)
        if (last || end) throw err
        return tryLogin(life, true)
      })
  }

  function login() {
    if (gone(flying)) flight = limited('login', tryLogin)
    return flight
  }

  function ensureLogin(stale) {
    if (gone(flying)) {
      if (usable() && saved.token !== stale) return Promise.resolve(saved)
      if (state().loggedOut) return Promise.reject(fault('LOGGED_OUT', 'logged out'))
    }
    return login()
  }

  function send(name, o) {
    var url = '' + o.url
    if (!originOf(url)) url = base + '/' + url.replace(/^\//, '')
    var ours = originOf(url) === originOf(base)
    var mayLogin = ours && o.login !== false
    var method = (o.method || 'GET').toUpperCase()

    function attempt(life, again) {
      if (mayLogin || life.over) stay(life)
      if (again) emit('replay', { url: url })
      var token = ours && session().token
      var header = copy({}, o.header)
      var args = copy(copy({}, o), { url: url, header: header })
      var seen = {}
      if (token) put(header, 'Authorization', 'Bearer ' + token)
      if (method === 'PATCH') {
        put(header, 'X-HTTP-Method-Override', method)
        args.method = 'POST'
      }
      var job = call(name, args, life)
      var task = life.task
      if (task && task.onHeadersReceived) task.onHeadersReceived(copy.bind(0, seen))
      if (task && o.onTask) o.onTask(task)
      return job.then(function (res) {
        res = copy(copy({ header: res.headers }, seen), res)
        var gate = ours && markOf(res, 'error')
        var refused = gate === 'InvalidToken'
        var dead = token && markOf(res, 'token') === 'dead'

        function answer(err) {
          if (err && !dead) throw err
          if (gate) throw refusal(res)
          return res
        }
        if (!refused && !dead) return answer()
        if (token && session().token === token) save({ expiresAt: 1 }, saved)
        if (!mayLogin || again || life.over) return answer()
        return ensureLogin(token).then(function () {
          if (o.replay === false || !(refused || (method === 'GET' && name !== 'uploadFile'))) return answer()
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
    return send('request', copy({ url: url, data: data, method: method }, o))
  }

  function gate(path, data, login) {
    return send('request', copy(argsOf(path, data), { login: login })).then(function (res) {
      if (res.statusCode >= 300) throw refusal(res)
      return res.data
    })
  }

  function logout(o) {
    var all = !!(o && o.everywhere)
    var rest = Promise.resolve(flight).then(give(), give())
    var sent = all || session().token ? gate('/logout', { everywhere: all || undefined }, false) : rest
    save({ exit: Math.random() })
    emit('logout', { everywhere: all })
    return sent.then(give(rest), function (err) {
      if (all || err.code !== 'NOT_LOGGED_IN') throw err
      return rest
    })
  }

  function renew(sent) {
    return ensureLogin(sent).then(give({ renewed: true }))
  }

  function freshen(life) {
    if (life) opening = life
    var sent = session().token
    var good = usable() && gone(flying) && !saved.pending

    function check(res) {
      if (!good || res.valid === false || res.code === 'NOT_LOGGED_IN') throw 0
      return quick('checkSession')
    }
    return Promise.resolve(good && life && gate('/session', undefined, false))
      .then(check, check)
      .then(give({ renewed: false }), renew.bind(0, sent))
  }

  function ensureSession() {
    if (gone(opening)) {
      ensuring = limited('checkSession', freshen)
      ensuring.then(null, give())
    }
    return ensuring
  }

  function decrypt(detail, o) {
    if (!detail || !detail.encryptedData) return Promise.reject(failure('button', detail))
    var body = {
      kind: o && o.kind,
      encryptedData: detail.encryptedData,
      iv: detail.iv,
      rawData: detail.rawData,
      signature: detail.signature
    }

    function open(res) {
      var sent = session().token
      return gate('/decrypt', body, false).then(null, function (err) {
        if (!/DecryptFailed|NOT_LOGGED_IN/.test(err.code)) throw err
        if (res.renewed) throw fault('TAP_AGAIN', 'tap again', { cause: err })
        return renew(sent).then(open)
      })
    }
    return limited('decrypt', function () {
      return (gone(opening) ? Promise.reject() : ensuring).then(null, freshen.bind(0, false)).then(open)
    })
  }

  function phone(detail) {
    if (!detail || !detail.code) return decrypt(detail, { kind: 'phone' })
    return gate('/phone', { code: detail.code }).then(null, function (err) {
      throw err.code === 'GATE_InvalidCode' ? fault('TAP_AGAIN', 'tap again', { cause: err }) : err
    })
  }

  function sign(data) {
    function ask() {
      return renew(session().pending && saved.token).then(gate.bind(0, '/sign', { data: data }, undefined))
    }
    return Promise.resolve(ensuring)
      .then(ask, ask)
      .then(function (res) {
        return res.signature
      })
  }

  function settingResult(res, scope) {
    if (((res || {}).authSetting || {})[scope]) return Promise.resolve(true)
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

    function show(resolve, res) {
      waiting.push(resolve)
      fn({ referrer: res && res.referrer, agree: answer.bind(0, 'agree'), disagree: disagree })
    }
    // wx has one listener
    var sheets = (api.wxgateSheets = api.wxgateSheets || [
      function (resolve) {
        resolve({ event: 'disagree' })
      }
    ])
    if (api.onNeedPrivacyAuthorization) {
      api.onNeedPrivacyAuthorization(function (resolve, res) {
        sheets[sheets.length - 1](resolve, res)
      })
    }
    return add(sheets, show, disagree)
  }

  return {
    login: login,
    ensureLogin: ensureLogin,
    ensureSession: ensureSession,
    state: state,
    request: send.bind(0, 'request'),
    get: verb.bind(0, 'GET'),
    post: verb.bind(0, 'POST'),
    put: verb.bind(0, 'PUT'),
    patch: verb.bind(0, 'PATCH'),
    del: verb.bind(0, 'DELETE'),
    upload: send.bind(0, 'uploadFile'),
    download: send.bind(0, 'downloadFile'),
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

module.exports.createClient = createClient
