// 出错时对用户说的话，按客户端的错误码。
const WORDS = {
  LOGGED_OUT: '已退出登录，请先登录',
  NOT_LOGGED_IN: '还没有登录',
  LOGIN_REFUSED: '登录失败，请稍后再试',
  TAP_AGAIN: '登录已更新，请再点一次',
  NEEDS_SETTING: '请先在设置中允许',
  SYSTEM_DENIED: '请在手机的系统设置中允许微信使用',
  PRIVACY: '同意隐私保护指引后才能使用',
  QUOTA: '手机号额度已用完，请手动填写',
  TIMEOUT: '网络太慢，请再试一次',
  NETWORK: '网络不可用，请再试一次',
  UNSUPPORTED: '当前微信或账号不支持',
  GATE_TooManyRequests: '操作太频繁，请稍后再试',
  GATE_RequestTooLarge: '文件太大'
}

// 用户刚刚拒绝，或自己离开：不必打扰。
const SILENT = ['USER_DENIED', 'ABORTED']

function tell(err) {
  if (SILENT.indexOf(err.code) >= 0) return
  // DOMAIN：地址没有加入小程序的合法域名，是开发者的疏忽。
  if (!err.code || err.code === 'DOMAIN') console.error(err)
  wx.showToast({ title: WORDS[err.code] || '服务暂时不可用，请稍后再试', icon: 'none' })
}

// 业务 API 自己的拒绝（如 404、500）也是回答，由页面决定怎么办；这里一律当作失败。
function accepted(res) {
  if (res.statusCode >= 200 && res.statusCode < 300) return res.data
  const err = new Error('request:fail ' + res.statusCode)
  err.code = 'HTTP_' + res.statusCode
  throw err
}

module.exports = { tell, accepted }
