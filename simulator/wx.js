/*
 * A phone on the desk: the `wx` object of a mini-program, in Node and in a browser.
 *
 *   const phone = createPhone({ wechatUrl: 'http://127.0.0.1:8001', appid: 'wx4f4…', user: 'alice' })
 *   const client = createClient({ baseUrl: 'http://127.0.0.1:8000', wx: phone.wx })
 *   await phone.tapButton('getPhoneNumber', (event) => client.phone(event.detail))
 *   phone.switches.offline = true
 *
 * What happens behind the scenes is asked of the simulated WeChat's phone face at `wechatUrl`; wx.request, uploadFile
 * and downloadFile go over real HTTP. Names, shapes and words are those of miniprogram-api-typings 5.2.3 and of
 * WeChat's pages; what these do not say (the eleventh request, the exact words of a full storage) is marked below.
 *
 * In a browser, load it as a plain script: it sets `wxgateSimulator`.
 */
;(function (root, make) {
  if (typeof module === 'object' && module.exports) module.exports = make()
  else root.wxgateSimulator = make()
})(typeof self === 'undefined' ? this : self, function () {
  'use strict'

  const REQUESTS_AT_ONCE = 10
  const DEFAULT_TIMEOUT = 60000
  const KEY_LIMIT = 1024 * 1024 // bytes
  const STORAGE_LIMIT = 10 * KEY_LIMIT
  const BACKGROUND_GRACE = 5000 // ms
  const NETWORK_ERRNO = 600001
  const NOT_ALLOWED_DOMAIN = 600002
  const INTERRUPTED = 600003

  // Since which base library, from WeChat's release notes.
  const SINCE = {
    errno: '2.24.0',
    phoneCode: '2.21.2',
    realtimePhone: '2.24.4',
    privacy: '2.32.3'
  }

  const SCOPES = { getWeRunData: 'scope.werun', getLocation: 'scope.userLocation' }
  const PRIVATE = ['getUserInfo', 'getUserProfile', 'getWeRunData', 'getLocation']
  // The functions that give a promise by WeChat's pages and by the typings both. Of the others one of the two says no, or
  // nothing: wx.login, wx.getUserInfo, wx.getWeRunData, wx.getShareInfo, the privacy functions …
  const PROMISED = ['checkSession', 'getSetting', 'authorize', 'getLocation', 'setStorage', 'getStorage', 'removeStorage']
  const PRIVACY_APIS = ['getPrivacySetting', 'requirePrivacyAuthorize', 'onNeedPrivacyAuthorization', 'openPrivacyContract']

  /** What a wx function fails with: `{errMsg, errno?}`. */
  class Failure {
    constructor(reason, errno) {
      this.reason = reason
      this.errno = errno
    }
  }

  function isAtLeast(version, wanted) {
    const [a, b] = [version, wanted].map((text) => text.split('.').map(Number))
    const at = [0, 1, 2].find((i) => a[i] !== b[i])
    return at === undefined || a[at] > b[at]
  }

  function sizeOf(text) {
    return new TextEncoder().encode(text).length
  }

  function formOf(data) {
    return Object.keys(data)
      .map((name) => encodeURIComponent(name) + '=' + encodeURIComponent(data[name]))
      .join('&')
  }

  /**
   * The URL of a GET with data, as the base library makes it: an object (null too) as JSON, undefined as the word; a name
   * that is in the URL already takes the new value in its old place.
   */
  function withQuery(url, data) {
    const names = Object.keys(data)
    if (!names.length) return url
    const [path, query = ''] = url.split('?')
    const pairs = query.split('&').filter(Boolean).map((text) => [text.split('=')[0], text])
    const merged = new Map(pairs)
    for (const name of names) {
      const value = typeof data[name] === 'object' ? JSON.stringify(data[name]) : data[name]
      merged.set(encodeURIComponent(name), `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    }
    return `${path}?${[...merged.values()].join('&')}`
  }

  // What a failed request is called, by platform; as quoted in bug reports.
  const WORDS = {
    android: {
      timeout: 'timeout',
      offline: 'errcode:-106 cronet_error_code:-106 error_msg:net::ERR_INTERNET_DISCONNECTED',
      refused: 'errcode:-102 cronet_error_code:-102 error_msg:net::ERR_CONNECTION_REFUSED',
      domain: 'url not in domain list'
    },
    ios: {
      timeout: '请求超时。',
      offline: '似乎已断开与互联网的连接。',
      refused: '未能连接到服务器。',
      domain: 'url not in domain list'
    },
    devtools: {
      timeout: 'timeout',
      offline: 'net::ERR_INTERNET_DISCONNECTED',
      refused: 'net::ERR_CONNECTION_REFUSED',
      domain: 'url not in domain list'
    }
  }
  WORDS.pc = { ...WORDS.devtools, timeout: 'time out' }

  function headerNamed(header, wanted) {
    const name = Object.keys(header).find((name) => name.toLowerCase() === wanted)
    return name === undefined ? undefined : header[name]
  }

  const CASES = {
    lower: (name) => name,
    title: (name) => name.replace(/(^|-)[a-z]/g, (text) => text.toUpperCase()),
    upper: (name) => name.toUpperCase()
  }

  /**
   * Take a user's phone in hand.
   *
   * options: wechatUrl; appid; user (a name); baseLibrary ('3.4.2'); backgroundGrace (ms, 5000);
   * ask(question) answers WeChat's own sheets, at once or by promise, and by default from the switches:
   *   {kind: 'authorize', scope}, {kind: 'privacy', referrer}, {kind: 'phoneNumber'} → boolean,
   *   {kind: 'openSetting', authSetting} → the new authSetting;
   * trace(entry) hears of each call when it begins, {n, api, url?, method?, phase, given}, and when it ends: status?, errMsg
   * and result besides. If it then gives a promise, the mini-program hears of the end after that.
   */
  function createPhone(options) {
    const baseLibrary = options.baseLibrary || '3.4.2'
    const trace = options.trace || function () {}
    // Consents are kept by WeChat for the user, not by the phone.
    const account = options.account || { authSetting: {}, privacyAgreed: false }
    const switches = {
      refuse: [], // scopes that the user refuses when asked
      refusePhone: false,
      refusePrivacy: false, // on WeChat's own sheet
      noQuota: false, // for the phone number
      noPermission: false, // for the phone number: a personal account, or DevTools
      privacyNeeded: false,
      offline: false,
      storageFull: false,
      silent: [], // functions that never call back, such as 'request': it is sent, and its answer lost
      platform: 'android', // whose words failures have: android, ios (Chinese), devtools, pc; pc hands 400 and above to fail
      systemDenied: [], // scopes that the phone's own settings deny to WeChat
      domains: null, // the allowlist of origins, null for all
      headerCase: 'title', // how answer headers are spelt: lower, title, upper
      ...options.switches
    }
    const storage = new Map()
    const files = new Map()
    const log = []
    const tappedButtons = new Set()
    let inTap = false
    let privacyListener = null
    let calls = 0
    let temporary = 0

    function fromSwitches(question) {
      if (question.kind === 'authorize') return !switches.refuse.includes(question.scope)
      if (question.kind === 'privacy') return !switches.refusePrivacy
      if (question.kind === 'phoneNumber') return !switches.refusePhone
      const scopes = Object.keys(question.authSetting)
      return Object.fromEntries(scopes.map((scope) => [scope, !switches.refuse.includes(scope)]))
    }

    const ask = async (question) => (options.ask || fromSwitches)(question)

    // --- calling convention ---

    function note(api, given, more) {
      const entry = { n: ++calls, api, ...more }
      log.push(entry)
      trace({ ...entry, given, phase: 'begin' })
      return entry
    }

    /** Notes an end; gives what trace gives. */
    function noteEnd(entry, result) {
      entry.errMsg = result.errMsg
      return trace({ ...entry, result, phase: 'end' })
    }

    function failed(api, failure) {
      const reason = failure instanceof Failure ? failure.reason : String(failure)
      const result = { errMsg: `${api}:fail ${reason}` }
      if (failure.errno !== undefined && isAtLeast(baseLibrary, SINCE.errno)) result.errno = failure.errno
      return result
    }

    /** Tells success or fail, then complete; in a task of its own, so that what they throw is nobody's to swallow. */
    function tell(given, name, result) {
      setTimeout(() => {
        try {
          if (given[name]) given[name](result)
        } finally {
          if (given.complete) given.complete(result)
        }
      }, 0)
    }

    const isSilent = (api) => switches.silent.includes(api)

    /** An API that gives a promise if it is one of PROMISED and none of success, fail, complete is given, else nothing. */
    function asynchronous(api, act) {
      return function (given = {}) {
        const entry = note(api, given)
        const tapped = inTap
        const outcome = Promise.resolve()
          .then(() => act(given, tapped))
          .then(
            (result) => ({ name: 'success', result: { ...result, errMsg: `${api}:ok` } }),
            (failure) => ({ name: 'fail', result: failed(api, failure) })
          )
          .then((it) => {
            if (isSilent(api)) return new Promise(() => {})
            return Promise.resolve(noteEnd(entry, it.result)).then(() => it)
          })
        if (given.success || given.fail || given.complete || !PROMISED.includes(api)) {
          outcome.then((it) => tell(given, it.name, it.result))
          return undefined
        }
        return outcome.then((it) => (it.name === 'success' ? it.result : Promise.reject(it.result)))
      }
    }

    async function wechat(name, more) {
      const words = WORDS[switches.platform]
      if (switches.offline) throw new Failure(words.offline, NETWORK_ERRNO)
      let answer
      try {
        answer = await fetch(`${options.wechatUrl}/wx/${name}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ appid: options.appid, user: options.user, ...more })
        })
      } catch (e) {
        throw new Failure(words.refused, NETWORK_ERRNO)
      }
      const body = await answer.json()
      if (answer.ok) return body
      throw new Failure(body.errMsg.replace(/^\w+:fail /, ''), body.errno)
    }

    // --- privacy and consent ---

    /** Waits until the user has agreed to the privacy agreement. Libraries before 2.32.3 do not ask. */
    async function privacy(referrer) {
      if (!switches.privacyNeeded || account.privacyAgreed || !isAtLeast(baseLibrary, SINCE.privacy)) return
      const agreed = privacyListener ? await listenerAnswers(referrer) : await ask({ kind: 'privacy', referrer })
      if (!agreed) throw new Failure('privacy permission is not authorized', 104)
      account.privacyAgreed = true
    }

    function listenerAnswers(referrer) {
      return new Promise((resolve) => {
        privacyListener(
          (answer) => {
            if (answer.event === 'exposureAuthorization') return
            // An agreement counts only where that button was tapped.
            resolve(answer.event === 'agree' && tappedButtons.has(answer.buttonId))
          },
          { referrer }
        )
      })
    }

    /** Asks once; after a refusal it fails at once, until the settings are opened. */
    async function consent(scope) {
      if (switches.systemDenied.includes(scope)) throw new Failure('system permission denied', 3)
      if (!(scope in account.authSetting)) account.authSetting[scope] = await ask({ kind: 'authorize', scope })
      if (!account.authSetting[scope]) throw new Failure('auth deny', 103)
    }

    async function openSettings() {
      Object.assign(account.authSetting, await ask({ kind: 'openSetting', authSetting: { ...account.authSetting } }))
      return { authSetting: { ...account.authSetting } }
    }

    function personal(name) {
      return asynchronous(name, async (given, tapped) => {
        if (name === 'getUserProfile' && !tapped) throw new Failure('can only be invoked by user TAP gesture.')
        if (PRIVATE.includes(name)) await privacy(name)
        if (SCOPES[name]) await consent(SCOPES[name])
        if (name === 'getLocation') return { latitude: 23.1, longitude: 113.3, speed: -1, accuracy: 65 }
        const data = await wechat(name === 'getUserProfile' ? 'getUserInfo' : name)
        if (given.withCredentials === false) return { userInfo: data.userInfo, rawData: data.rawData }
        return data
      })
    }

    // --- network ---

    const running = new Set()
    const queue = []
    let backgroundTimer = null
    let asleep = false

    /** The eleventh waits. WeChat's pages do not say whether it waits or fails. */
    function admit(job) {
      if (running.size >= REQUESTS_AT_ONCE) return queue.push(job)
      running.add(job)
      job.run().then(() => {
        running.delete(job)
        if (queue.length) admit(queue.shift())
      })
    }

    function transfer(api, given, build, finish) {
      const entry = note(api, given, { url: given.url, method: (given.method || 'GET').toUpperCase() })
      const control = new AbortController()
      const headerListeners = []
      const chunkListeners = []
      const progressListeners = []
      let over = false

      function end(name, result) {
        if (over || (isSilent(api) && !/abort$/.test(result.errMsg))) return
        over = true
        clearTimeout(timer)
        entry.status = result.statusCode
        const noted = noteEnd(entry, result)
        if (noted && noted.then) noted.then(() => tell(given, name, result))
        else tell(given, name, result)
        if (name === 'fail') control.abort()
      }
      const fail = (reason, errno) => end('fail', failed(api, new Failure(reason, errno)))
      // WeChat counts from the call, also where it waits for its turn.
      const words = WORDS[switches.platform]
      const timer = setTimeout(() => fail(words.timeout, 5), given.timeout || DEFAULT_TIMEOUT)

      const job = {
        interrupt: () => fail('interrupted', INTERRUPTED),
        async run() {
          if (over) return
          try {
            const origin = new URL(given.url).origin
            if (switches.domains && !switches.domains.includes(origin)) {
              return fail(words.domain, NOT_ALLOWED_DOMAIN)
            }
            if (asleep) return fail('interrupted', INTERRUPTED)
            if (switches.offline) return fail(words.offline, NETWORK_ERRNO)
            const { url, init } = build()
            const answer = await fetch(url, { ...init, signal: control.signal, redirect: 'follow', cache: 'no-store' })
            const header = {}
            const spell = CASES[switches.headerCase]
            answer.headers.forEach((value, name) => {
              header[spell(name)] = value
            })
            headerListeners.forEach((listener) => listener({ header, cookies: [], statusCode: answer.status }))
            const result = finish(answer, header, await read(answer))
            if (switches.platform === 'pc' && answer.status >= 400) end('fail', { header, ...result, errMsg: `${api}:fail` })
            else end('success', { ...result, errMsg: `${api}:ok` })
          } catch (e) {
            if (e instanceof Failure) fail(e.reason, e.errno)
            else if (e instanceof TypeError && /invalid url/i.test(String(e))) fail(`invalid url "${given.url}"`, 600009)
            else fail(words.refused, NETWORK_ERRNO)
          }
        }
      }

      async function read(answer) {
        if (!given.enableChunked || !answer.body) return answer.arrayBuffer()
        const reader = answer.body.getReader()
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          const { buffer, byteOffset, byteLength } = part.value
          const data = buffer.slice(byteOffset, byteOffset + byteLength)
          chunkListeners.forEach((listener) => listener({ data }))
        }
        return new ArrayBuffer(0)
      }

      const on = (list) => (listener) => list.push(listener)
      const off = (list) => (listener) => list.splice(listener ? list.indexOf(listener) : 0, listener ? 1 : list.length)
      setTimeout(() => admit(job), 0)
      const task = {
        abort: () => fail('abort'),
        onHeadersReceived: on(headerListeners),
        offHeadersReceived: off(headerListeners)
      }
      if (api === 'request') {
        return { ...task, onChunkReceived: on(chunkListeners), offChunkReceived: off(chunkListeners) }
      }
      return { ...task, onProgressUpdate: on(progressListeners), offProgressUpdate: off(progressListeners) }
    }

    /** Referer cannot be set on a phone; a browser page cannot set it either, and leaves it out. */
    function ownHeaders(header) {
      const sent = { ...header }
      Object.keys(sent).forEach((name) => {
        if (name.toLowerCase() === 'referer') delete sent[name]
      })
      if (typeof window === 'undefined') sent.Referer = `https://servicewechat.com/${options.appid}/devtools/page-frame.html`
      return sent
    }

    function bodyOf(method, given, headers) {
      const { data } = given
      if (data === undefined || data === null || data === '') return { url: given.url }
      if (method === 'GET') return { url: typeof data === 'object' ? withQuery(given.url, data) : given.url }
      if (method === 'HEAD') return { url: given.url }
      if (typeof data === 'string' || data instanceof ArrayBuffer) return { url: given.url, body: data }
      const form = /x-www-form-urlencoded/i.test(headerNamed(headers, 'content-type'))
      return { url: given.url, body: form ? formOf(data) : JSON.stringify(data) }
    }

    function request(given) {
      const method = (given.method || 'GET').toUpperCase()
      return transfer(
        'request',
        given,
        () => {
          const headers = ownHeaders(given.header)
          if (headerNamed(headers, 'content-type') === undefined) headers['content-type'] = 'application/json'
          const { url, body } = bodyOf(method, given, headers)
          return { url, init: { method, headers, body } }
        },
        (answer, header, bytes) => {
          const statusCode = answer.status
          if (given.responseType === 'arraybuffer') return { data: bytes, statusCode, header, cookies: [] }
          const text = new TextDecoder().decode(bytes)
          return { data: parsed(text, given.dataType || 'json'), statusCode, header, cookies: [] }
        }
      )
    }

    function parsed(text, dataType) {
      if (dataType !== 'json') return text
      try {
        return JSON.parse(text)
      } catch (e) {
        return text
      }
    }

    function uploadFile(given) {
      return transfer(
        'uploadFile',
        { ...given, method: 'POST' },
        () => {
          const file = files.get(given.filePath)
          if (!file) throw new Failure('file not found')
          const form = new FormData()
          Object.entries(given.formData || {}).forEach(([name, value]) => form.append(name, String(value)))
          form.append(given.name, new Blob([file]), given.fileName || given.filePath.split('/').pop())
          const headers = ownHeaders(given.header)
          // Its boundary is made with the body.
          Object.keys(headers).forEach((name) => name.toLowerCase() === 'content-type' && delete headers[name])
          return { url: given.url, init: { method: 'POST', headers, body: form } }
        },
        // As on a phone: a text, and no headers; those are told to the task alone.
        (answer, header, bytes) => ({ data: new TextDecoder().decode(bytes), statusCode: answer.status })
      )
    }

    function downloadFile(given) {
      return transfer(
        'downloadFile',
        given,
        () => ({ url: given.url, init: { method: 'GET', headers: ownHeaders(given.header) } }),
        (answer, header, bytes) => {
          const path = given.filePath || `wxfile://tmp_${++temporary}`
          files.set(path, bytes)
          return { [given.filePath ? 'filePath' : 'tempFilePath']: path, statusCode: answer.status }
        }
      )
    }

    // --- storage ---

    function storageSize() {
      return [...storage.values()].reduce((sum, text) => sum + sizeOf(text), 0)
    }

    /** Stores a copy. The words of the errors are ours; WeChat documents the limits alone. */
    function setStorageSync(key, data) {
      const text = JSON.stringify(data instanceof Date ? { date: data.getTime() } : { data })
      const before = storage.has(key) ? sizeOf(storage.get(key)) : 0
      if (sizeOf(text) > KEY_LIMIT) throw new Error('setStorageSync:fail data exceeds the 1 MB of a key')
      if (switches.storageFull || storageSize() - before + sizeOf(text) > STORAGE_LIMIT) {
        throw new Error('setStorageSync:fail the 10 MB of this mini-program are full')
      }
      storage.set(key, text)
    }

    function getStorageSync(key) {
      if (!storage.has(key)) return ''
      const stored = JSON.parse(storage.get(key))
      return 'date' in stored ? new Date(stored.date) : stored.data
    }

    function overStorage(api, act) {
      return asynchronous(api, async (given) => {
        try {
          return act(given)
        } catch (e) {
          throw new Failure(e.message.replace(/^\w+:fail /, ''))
        }
      })
    }

    // --- wx ---

    const wx = {
      login: asynchronous('login', () => wechat('login')),
      checkSession: asynchronous('checkSession', async () => {
        if (!(await wechat('checkSession')).valid) throw new Failure('session time out, need relogin')
      }),
      request,
      uploadFile,
      downloadFile,
      getSetting: asynchronous('getSetting', async () => ({ authSetting: { ...account.authSetting } })),
      authorize: asynchronous('authorize', async ({ scope }) => {
        if (Object.values(SCOPES).includes(scope)) await privacy('authorize')
        await consent(scope)
      }),
      openSetting: asynchronous('openSetting', async (given, tapped) => {
        if (!tapped) throw new Failure('can only be invoked by user TAP gesture.')
        return openSettings()
      }),
      openAppAuthorizeSetting: asynchronous('openAppAuthorizeSetting', async () => ({})),
      getUserInfo: personal('getUserInfo'),
      getUserProfile: personal('getUserProfile'),
      getWeRunData: personal('getWeRunData'),
      getLocation: personal('getLocation'),
      getShareInfo: personal('getShareInfo'),
      getGroupEnterInfo: personal('getGroupEnterInfo'),
      getPrivacySetting: asynchronous('getPrivacySetting', async () => ({
        needAuthorization: switches.privacyNeeded && !account.privacyAgreed,
        privacyContractName: '《小程序隐私保护指引》'
      })),
      requirePrivacyAuthorize: asynchronous('requirePrivacyAuthorize', () => privacy('requirePrivacyAuthorize')),
      onNeedPrivacyAuthorization(listener) {
        privacyListener = listener // the last one wins
      },
      openPrivacyContract: asynchronous('openPrivacyContract', async () => {}),
      setStorageSync,
      getStorageSync,
      removeStorageSync: (key) => void storage.delete(key),
      clearStorageSync: () => storage.clear(),
      getStorageInfoSync: () => ({
        keys: [...storage.keys()],
        currentSize: Math.ceil(storageSize() / 1024),
        limitSize: STORAGE_LIMIT / 1024
      }),
      setStorage: overStorage('setStorage', ({ key, data }) => setStorageSync(key, data)),
      getStorage: overStorage('getStorage', ({ key }) => {
        if (!storage.has(key)) throw new Error('getStorage:fail data not found')
        return { data: getStorageSync(key) }
      }),
      removeStorage: overStorage('removeStorage', ({ key }) => void storage.delete(key)),
      getAccountInfoSync: () => ({ miniProgram: { appId: options.appid, envVersion: 'develop', version: '' } }),
      getAppBaseInfo: () => ({ SDKVersion: baseLibrary, language: 'zh_CN' }),
      getFileSystemManager: () => ({
        readFileSync(path, encoding) {
          if (!files.has(path)) throw new Error('readFileSync:fail no such file or directory')
          const bytes = files.get(path)
          return encoding ? new TextDecoder(encoding).decode(bytes) : bytes
        }
      })
    }
    if (!isAtLeast(baseLibrary, SINCE.privacy)) PRIVACY_APIS.forEach((name) => delete wx[name])
    wx.canIUse = (schema) => schema.split('.')[0] in wx

    // --- the user's hands ---

    /** Runs a handler as a tap's: what needs the gesture must be called before it returns. */
    function tap(handler, event) {
      inTap = true
      try {
        return handler(event)
      } finally {
        inTap = false
      }
    }

    async function phoneDetail(openType) {
      const name = 'getPhoneNumber'
      await privacy(`button.${openType}`)
      if (switches.noPermission) throw new Failure('no permission')
      if (switches.noQuota) throw new Failure('no quota', 1400001)
      if (!(await ask({ kind: 'phoneNumber' }))) throw new Failure('user deny', 103)
      const { code, encryptedData, iv } = await wechat(name)
      if (openType === 'getRealtimePhoneNumber') return { code }
      return isAtLeast(baseLibrary, SINCE.phoneCode) ? { code, encryptedData, iv } : { encryptedData, iv }
    }

    const BUTTONS = {
      getPhoneNumber: () => phoneDetail('getPhoneNumber'),
      getRealtimePhoneNumber: () => phoneDetail('getRealtimePhoneNumber'),
      openSetting: () => openSettings(),
      agreePrivacyAuthorization: async (id) => {
        tappedButtons.add(id)
        account.privacyAgreed = true
        return {}
      }
    }

    /**
     * Taps a button with an open-type; gives what the handler of its event gives. The event's detail is WeChat's:
     * data with `errMsg: '<openType>:ok'`, or `{errMsg: '<openType>:fail …', errno?}`.
     */
    async function tapButton(openType, handler, id = 'button') {
      if (openType === 'getRealtimePhoneNumber' && !isAtLeast(baseLibrary, SINCE.realtimePhone)) return undefined
      const entry = note(`button.${openType}`)
      let detail
      try {
        detail = { ...(await BUTTONS[openType](id)), errMsg: `${openType}:ok` }
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure
        detail = failed(openType, failure)
      }
      await noteEnd(entry, detail)
      return tap(handler, { type: openType.toLowerCase(), target: { id }, detail })
    }

    /** Puts the mini-program in the background: after five seconds its requests are interrupted. */
    function background() {
      backgroundTimer = setTimeout(() => {
        asleep = true
        running.forEach((job) => job.interrupt())
        queue.splice(0).forEach((job) => job.interrupt())
      }, options.backgroundGrace === undefined ? BACKGROUND_GRACE : options.backgroundGrace)
    }

    function foreground() {
      clearTimeout(backgroundTimer)
      asleep = false
    }

    return {
      wx,
      switches,
      log,
      files,
      tap,
      tapButton,
      /** Calls a wx function by its callbacks, as one must for those that give no promise. */
      call: (api, given) => new Promise((success, fail) => wx[api]({ ...given, success, fail })),
      background,
      foreground,
      /** How often an API was called; `url` is a part of its address. */
      count: (api, url = '') => log.filter((entry) => entry.api === api && (entry.url || '').includes(url)).length,
      /** The same user with a new phone: empty storage, the same consents, the same WeChat session. */
      anotherPhone: (more) => createPhone({ ...options, switches: undefined, ...more, account })
    }
  }

  return { createPhone }
})
