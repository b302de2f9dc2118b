const { tell } = require('../../words')
const client = require('../../client')

const SCOPE = 'scope.werun'

function lastWeek(list) {
  const days = list.slice(-7).reverse()
  const most = Math.max.apply(null, days.map((it) => it.step).concat(1))
  return days.map((it) => {
    // 北京时间的零点；加八小时再读 UTC，手机在哪个时区都一样
    const date = new Date((it.timestamp + 8 * 3600) * 1000)
    const name = date.getUTCMonth() + 1 + '月' + date.getUTCDate() + '日'
    return { name, step: it.step, width: Math.round((it.step / most) * 100) }
  })
}

// wx.getWeRunData 只支持回调。失败的结果也交给 client.decrypt：它会按原因给出错误码。
function sealedSteps() {
  return new Promise((resolve) => wx.getWeRunData({ complete: resolve }))
}

Page({
  data: { days: [], needsSetting: false, systemDenied: false, busy: false },

  // 打开页面时就检查登录态，用户点击时便能直接解密。失败了不必说，点击时会再试。
  onLoad() {
    return client.ensureSession().catch(() => {})
  },

  load() {
    this.setData({ busy: true, needsSetting: false, systemDenied: false })
    return client.authorize(SCOPE)
      .then(sealedSteps)
      .then((sealed) => client.decrypt(sealed, { kind: 'werun' }))
      .then((opened) => this.setData({ days: lastWeek(opened.data.stepInfoList) }))
      .catch((err) => {
        if (err.code === 'NEEDS_SETTING') this.setData({ needsSetting: true })
        else if (err.code === 'SYSTEM_DENIED') this.setData({ systemDenied: true })
        else tell(err)
      })
      .then(() => this.setData({ busy: false }))
  },

  // 以前拒绝过，微信不再询问：设置必须由用户另点一个按钮打开。
  onSetting(e) {
    return client.settingResult(e.detail, SCOPE).then(() => this.load(), tell)
  },

  // 小程序里已允许，手机却没有允许微信：只能请用户去系统设置里打开。
  openSystemSettings() {
    if (wx.openAppAuthorizeSetting) wx.openAppAuthorizeSetting({ fail: tell })
  }
})
