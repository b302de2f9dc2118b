'use strict'
// Which code each failure of WeChat's has: its words by platform and language, and its numbers.
// The numbers are those of WeChat's page "Errno错误码" (…/framework/usability/PublicErrno.html); the words are those that
// public mini-programs and bug reports quote. The Android network stack's are Chromium's net_error_list.h.
const assert = require('node:assert/strict')
const test = require('node:test')
const { fakeWx, gateOf, clientOf, loggedIn, rejection } = require('./fakes')

/** [words or {errMsg, errno} as wx.<api> fails with them …] by api and code. */
const TABLE = {
  request: {
    ABORTED: ['request:fail abort', 'request:fail:abort', 'fail abort', 'abort', 'request:fail aborted'],
    TIMEOUT: [
      'request:fail timeout',
      'request:fail:timeout',
      'request:fail time out',
      'timeout',
      'request:fail 请求超时',
      'request:fail 请求超时。', // iOS
      'request:fail 要求逾時。', // iOS, traditional Chinese
      'request:fail 連線逾時',
      'request:fail The request timed out.', // iOS, English
      'request:fail socket time out timeout:6000', // Android before cronet
      'request:fail ETIMEDOUT', // DevTools
      'request:fail -7:net::ERR_TIMED_OUT',
      'request:fail -118:net::ERR_CONNECTION_TIMED_OUT',
      { errMsg: 'request:fail errcode:-118 cronet_error_code:-118 error_msg:net::ERR_CONNECTION_TIMED_OUT', errno: 600001 },
      { errMsg: 'request:fail timeout', errno: 5 },
      { errMsg: 'request:fail', errno: 5 },
      { errno: 5 }
    ],
    DOMAIN: [
      'request:fail url not in domain list',
      'request:fail:url not in domain list', // PC
      'request:fail createRequestTask:fail url not in domain list',
      'url not in domain list',
      'request:fail not in the request legal domain list',
      'request:fail http://127.0.0.1:5000 不在以下 request 合法域名列表中', // DevTools
      'request:fail invalid url "/api/orders"', // DevTools
      'request:fail invalid URL',
      'request:fail unsupported URL', // iOS
      'request:fail bad URL',
      'request:fail 不支持的URL', // iOS, Chinese
      'request:fail 不支持的 URL',
      'request:fail 不支援的URL', // iOS, traditional Chinese
      'request:fail 错误的URL',
      'request:fail URL错误',
      'request:fail URL錯誤',
      'request:fail url 无效',
      'request:fail URL 格式不正确',
      'request:fail 无效的网址',
      'request:fail 無效的網址',
      'request:fail 网址无效',
      'request:fail illegal url',
      'request:fail malformed URL',
      'request:fail java.net.MalformedURLException: no protocol: api', // Android
      'request:fail url is not valid',
      'request:fail url is malformed',
      'request:fail unsupported url',
      'request:fail not in domain whitelist',
      'request:fail domain is not in the legal list',
      'request:fail 域名不合法',
      'request:fail 域名不在白名单中',
      'request:fail 不在以下 request 合法網域清單中',
      'request:fail -300:net::ERR_INVALID_URL',
      { errMsg: 'request:fail errcode:-300 error_msg:net::ERR_INVALID_URL', errno: 600001 },
      { errMsg: 'request:fail url not in domain list', errno: 600002 },
      { errMsg: 'request:fail', errno: 600002 },
      { errno: 600002 },
      { errno: '600002' },
      { errMsg: 'request:fail invalid url', errno: 600009 },
      { errno: 600009 },
      { errMsg: 'request:fail url validate error', errno: 600011 },
      { errno: 600011 }
    ],
    UNSUPPORTED: ['request:fail parameter error: parameter.header should be Object instead of String;'],
    NETWORK: [
      undefined,
      {},
      '',
      'request:fail',
      'request:fail ',
      'request:fail interrupted', // in the background
      'request:fail:interrupted',
      'request:fail createRequestTask:fail:interrupted',
      'request:fail network error',
      'request:fail 似乎已断开与互联网的连接。', // iOS
      'request:fail 网络连接已中断。',
      'request:fail 網絡連線中斷。',
      'request:fail 未能连接到服务器。',
      'request:fail 无法连接服务器。',
      'request:fail 未能找到使用指定主机名的服务器。',
      'request:fail 目前不允许数据连接。',
      'request:fail 发生了SSL错误，无法建立与该服务器的安全连接。',
      'request:fail 未能完成操作。（kCFErrorDomainCFNetwork错误310。）',
      'request:fail 未能完成操作。（NSURLErrorDomain错误-1009。）',
      'request:fail The operation couldn’t be completed. (NSURLErrorDomain error -1009.)',
      'request:fail 域名解析失败',
      'request:fail 未找到域名',
      'request:fail 服务器证书不合法',
      'request:fail The Internet connection appears to be offline.',
      'request:fail A server with the specified hostname could not be found.',
      'request:fail 无法解析响应',
      'request:fail ssl hand shake error:java.security.cert.CertPathValidatorException: Trust anchor for certification path not found.',
      'request:fail request unknow host error',
      'request:fail Unable to resolve host "api.example.com": No address associated with hostname',
      'request:fail Failed to connect to api.example.com/192.0.2.1:443',
      'request:fail Software caused connection abort',
      'request:fail socket hang up', // DevTools
      'request:fail ECONNREFUSED',
      'request:fail No such host is known',
      'request:fail -1',
      'request:fail -2:net::ERR_FAILED',
      'request:fail -15:net::ERR_SOCKET_NOT_CONNECTED',
      'request:fail -100:net::ERR_CONNECTION_CLOSED',
      'request:fail -101:net::ERR_CONNECTION_RESET',
      'request:fail -102:net::ERR_CONNECTION_REFUSED',
      'request:fail -103:net::ERR_CONNECTION_ABORTED',
      'request:fail -105:net::ERR_NAME_NOT_RESOLVED',
      'request:fail -106:net::ERR_INTERNET_DISCONNECTED',
      'request:fail -109:net::ERR_ADDRESS_UNREACHABLE',
      'request:fail -138:net::ERR_NETWORK_ACCESS_DENIED',
      'request:fail -200:net::ERR_CERT_COMMON_NAME_INVALID',
      'request:fail -324:net::ERR_EMPTY_RESPONSE',
      { errMsg: 'request:fail errcode:-202 cronet_error_code:-202 error_msg:net::ERR_CERT_AUTHORITY_INVALID', errno: 600001 },
      { errMsg: 'request:fail', errno: 600000 },
      { errno: 600001 },
      { errMsg: 'request:fail interrupted', errno: 600003 },
      { errno: 600003 },
      { errMsg: 'request:fail network exceed max task count', errno: 600007 },
      { errMsg: 'request:fail network reach the max redirect count', errno: 600008 },
      { errMsg: 'request:fail request system error', errno: 602001 },
      { errMsg: 'request:fail no enough httpdns quota', errno: 602103 },
      { errMsg: 'request:fail internal error', errno: 4 }
    ]
  },
  uploadFile: {
    ABORTED: ['uploadFile:fail abort', 'uploadFile:fail:abort'],
    TIMEOUT: ['uploadFile:fail timeout', 'uploadFile:fail 请求超时。', { errno: 5 }],
    DOMAIN: [
      'uploadFile:fail url not in domain list',
      'uploadFile:fail createUploadTask:fail url not in domain list',
      { errMsg: 'uploadFile:fail', errno: 600002 }
    ],
    UNSUPPORTED: ['uploadFile:fail file not found', 'uploadFile:fail no such file or directory'],
    NETWORK: [undefined, 'uploadFile:fail', 'uploadFile:fail socket closed', 'uploadFile:fail interrupted', { errno: 600001 }]
  },
  downloadFile: {
    ABORTED: ['downloadFile:fail abort', { errMsg: 'downloadFile:fail abort download task', errno: 603105 }],
    TIMEOUT: ['downloadFile:fail timeout', 'downloadFile:fail 下载超时', { errno: 5 }],
    DOMAIN: ['downloadFile:fail url not in domain list', 'downloadFile:fail downloadFile合法域名校验出错', { errno: 600002 }],
    UNSUPPORTED: [
      'downloadFile:fail exceed max file size',
      { errMsg: 'downloadFile:fail permission denied can not open file wxfile://usr/a', errno: 1300014 }
    ],
    NETWORK: [undefined, 'downloadFile:fail', 'downloadFile:fail 未能完成操作。', { errMsg: 'downloadFile:fail', errno: 600001 }]
  },
  login: {
    TIMEOUT: ['login:fail timeout', 'login:fail 请求超时', { errno: 5 }],
    NETWORK: [
      'login:fail 网络错误',
      'login:fail 網絡錯誤',
      'login:fail network error',
      'login:fail net::ERR_INTERNET_DISCONNECTED',
      'login:fail 似乎已断开与互联网的连接。',
      'login:fail interrupted',
      'login:fail Unable to resolve host',
      'login:fail socket error',
      'login:fail java.net.SocketException',
      'login:fail ssl handshake',
      'login:fail ECONNRESET',
      'login:fail:offline',
      'login:fail DNS解析失败',
      'login:fail 域名解析失败',
      'login:fail 連線中斷',
      'login:fail 裝置已離線',
      'login:fail 连接被拒绝',
      { errMsg: 'login:fail cgi failed for network issues', errno: 108 },
      { errMsg: 'login:fail', errno: 108 },
      { errno: 600001 }
    ],
    LOGIN_REFUSED: [
      undefined,
      'login:fail',
      'login:fail system error',
      'login:fail 系统错误，错误码：-1',
      'login:fail 用户拒绝',
      'login:fail user cancel',
      'login:fail 服务器异常',
      'login:fail internal error',
      { errMsg: 'login:fail', errno: 4 },
      { errMsg: 'login:fail wxa login is blocked', errno: 1402101 },
      { errno: 1402101 }
    ]
  },
  authorize: {
    USER_DENIED: [
      'authorize:fail auth deny',
      'authorize:fail:auth deny',
      'authorize:fail auth denied',
      'authorize:fail:auth denied', // iOS
      'authorize:fail auth canceled', // Android
      'authorize:fail:auth canceled',
      'authorize:fail authorize no response', // Android
      'authorize:fail user deny',
      'authorize:fail 用户拒绝授权',
      'authorize:fail 用戶拒絕授權',
      'authorize:fail 使用者取消',
      'authorize:fail 用户不同意',
      'authorize:fail user rejected',
      'authorize:fail user refused',
      'authorize:fail 用户拒绝定位授权',
      'authorize:fail system error, err_code: -12006, auth deny',
      'authorize:fail 系统错误，错误码：-12006,auth deny',
      'authorize:fail 系統錯誤，錯誤碼：-12006,auth deny',
      'auth deny',
      { errMsg: 'authorize:fail auth deny', errno: 103 },
      { errMsg: 'authorize:fail auth canceled', errno: 104 },
      { errMsg: 'authorize:fail', errno: 103 },
      { errno: 103 },
      { errMsg: 'authorize:fail cancel', errno: 1 }
    ],
    SYSTEM_DENIED: [
      'authorize:fail system permission denied',
      'authorize:fail:system permission denied',
      'authorize:fail system deny',
      'authorize:fail 系统权限未授予微信',
      'authorize:fail 系统未授权',
      'authorize:fail 系統未授權',
      'authorize:fail 系統權限被拒絕',
      'authorize:fail 系统相册权限未开启',
      'authorize:fail 请在系统设置中打开相机',
      'authorize:fail 請在系統設定中開啟相機',
      'authorize:fail no system permission',
      'authorize:fail system location permission not granted',
      'authorize:fail location service disabled',
      'authorize:fail Location services are turned off',
      'authorize:fail GPS is off',
      'authorize:fail GPS not enabled',
      'authorize:fail 定位服務未開啟',
      'authorize:fail 定位服务已关闭',
      'authorize:fail 没有定位权限',
      'authorize:fail OS permission denied',
      'authorize:fail permission denied by system',
      'authorize:fail 微信没有相册权限',
      'authorize:fail 请打开手机定位',
      'system permission denied',
      { errMsg: 'authorize:fail system permission denied', errno: 3 },
      { errMsg: 'authorize:fail', errno: 3 },
      { errno: 3 }
    ],
    PRIVACY: [
      'authorize:fail privacy permission is not authorized',
      'authorize:fail api scope is not declared in the privacy agreement',
      'authorize:fail 用户未同意隐私协议',
      'authorize:fail 使用者未同意隱私協議',
      { errMsg: 'authorize:fail privacy permission is not authorized', errno: 104 },
      { errno: 104 },
      { errMsg: 'authorize:fail', errno: 112 },
      { errMsg: 'authorize:fail interface is not declared in the privacy agreement', errno: 101100 },
      { errno: 101101 },
      { errno: 101102 },
      { errMsg: 'authorize:fail wxa appid privacy api banned', errno: 1025 }
    ],
    TIMEOUT: ['authorize:fail timeout'],
    NETWORK: ['authorize:fail network error', { errno: 109 }],
    UNSUPPORTED: [
      undefined,
      'authorize:fail',
      'authorize:fail 无效的scope',
      { errMsg: 'authorize:fail jsapi not supported', errno: 100 },
      { errno: 102 }
    ]
  },
  /** The detail of a button, or of an API that the page called itself. */
  button: {
    USER_DENIED: [
      'getPhoneNumber:fail user deny',
      'getPhoneNumber:fail:user deny',
      'getPhoneNumber:fail:user cancel',
      'getPhoneNumber:fail 用户取消',
      { errMsg: 'getPhoneNumber:fail', errno: 103 },
      'getUserInfo:fail auth deny',
      'getUserInfo:fail scope unauthorized',
      'getWeRunData:fail auth deny',
      'getWeRunData:fail:auth denied',
      'getUserProfile:fail auth cancel',
      'getUserProfile:fail:auth denied'
    ],
    SYSTEM_DENIED: [
      'getLocation:fail system permission denied',
      'getLocation:fail:system permission denied',
      'getLocation:fail:ERROR_NOCELL&WIFI_LOCATIONSWITCHOFF', // Android
      'getLocation:fail system location disabled',
      'getLocation:fail 系统定位未开启',
      { errMsg: 'getWeRunData:fail', errno: 3 }
    ],
    PRIVACY: [
      { errMsg: 'getPhoneNumber:fail privacy permission is not authorized', errno: 104 },
      { errMsg: 'getPhoneNumber:fail api scope is not declared in the privacy agreement', errno: 112 },
      'getUserInfo:fail appid privacy api banned'
    ],
    QUOTA: [
      'getPhoneNumber:fail no quota',
      'getPhoneNumber:fail appid no enough quota',
      'getPhoneNumber:fail 额度不足',
      'getPhoneNumber:fail 額度不足',
      { errMsg: 'getPhoneNumber:fail', errno: 1400001 },
      { errno: 1400001 }
    ],
    NETWORK: ['getPhoneNumber:fail network error', 'getLocation:fail:ERROR_NETWORK', 'getWeRunData:fail 网络异常'],
    TIMEOUT: ['getLocation:fail timeout', 'getWeRunData:fail time out'],
    UNSUPPORTED: [
      'getPhoneNumber:fail no permission', // a personal account, or DevTools
      'getPhoneNumber:fail jsapi has no permission',
      'getPhoneNumber:fail access denied',
      'getUserProfile:fail can only be invoked by user TAP gesture.',
      { errMsg: 'getPhoneNumber:fail user getPhoneNumber is blocked', errno: 1421102 }
    ]
  },
  requirePrivacyAuthorize: {
    PRIVACY: [
      'requirePrivacyAuthorize:fail privacy permission is not authorized',
      'requirePrivacyAuthorize:fail user deny',
      { errMsg: 'requirePrivacyAuthorize:fail', errno: 104 }
    ]
  }
}

/** Lets wx.<api> fail with `result` for good; gives what the client says of it. */
const PROVOKE = {
  request: (client) => client.get('/api/x'),
  uploadFile: (client) => client.upload({ url: '/api/x', filePath: 'a', name: 'f' }),
  downloadFile: (client) => client.download({ url: '/api/x' }),
  login: (client) => client.login(),
  authorize: (client) => client.authorize('scope.werun'),
  requirePrivacyAuthorize: (client) => client.privacy.require()
}

async function meaningOf(api, result) {
  const wx = fakeWx(gateOf({}), 'sync')
  wx.getSetting = (o) => o.success({ authSetting: {} })
  const client = await loggedIn(wx)
  wx[api] = (o) => o.fail(result)
  return rejection(PROVOKE[api] ? PROVOKE[api](client) : client.phone(result))
}

for (const [api, codes] of Object.entries(TABLE)) {
  for (const [code, results] of Object.entries(codes)) {
    for (const words of results) {
      const result = typeof words === 'string' ? { errMsg: words } : words
      test(`${api} ${JSON.stringify(result)} is ${code}`, async () => {
        const err = await meaningOf(api, result)
        assert.equal(err.code, code)
        assert.ok(err instanceof Error)
        assert.equal(err.errno, result && result.errno)
        if (result && result.errMsg) assert.equal(err.errMsg, result.errMsg)
        else if (api !== 'button') assert.equal(err.errMsg, `${api}:fail`)
      })
    }
  }
}

test('each code that a failure of wx can have is in the table', () => {
  const tested = new Set(Object.values(TABLE).flatMap(Object.keys))
  const codes = ['ABORTED', 'DOMAIN', 'TIMEOUT', 'NETWORK', 'LOGIN_REFUSED', 'QUOTA', 'SYSTEM_DENIED', 'USER_DENIED', 'PRIVACY', 'UNSUPPORTED']
  assert.deepEqual([...tested].sort(), codes.sort())
})

test('a function that this base library lacks is UNSUPPORTED', async () => {
  const wx = fakeWx(gateOf({}))
  assert.equal((await rejection(clientOf(wx).authorize('scope.werun'))).code, 'UNSUPPORTED')
})
