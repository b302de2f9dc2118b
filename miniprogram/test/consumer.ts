// What a mini-program in TypeScript writes; compiled, never run.
import { createClient, ClientError } from '../miniprogram_dist/index'

const client = createClient({ baseUrl: 'https://api.example.com/v1', wx })

interface Order {
  id: number
}

export async function orders(): Promise<Order[]> {
  const pending = client.get<Order[]>('/api/orders', { page: 2 }, { replay: false })
  pending.abort()
  const { data, statusCode } = await pending
  return statusCode === 200 ? data : []
}

Page({
  onLoad() {
    const off = client.on('replay', ({ url }) => console.log(url))
    client.ensureSession().then(({ renewed }) => renewed && off())
    client.privacy.onNeed(({ referrer, agree, disagree }) => (referrer ? agree('agree') : disagree()))
  },
  onPhone(event: WechatMiniprogram.ButtonGetPhoneNumber) {
    client.phone(event.detail).then(
      ({ data }) => this.setData({ phone: data.purePhoneNumber }),
      (err: ClientError) => {
        if (err.code === 'TAP_AGAIN') wx.showToast({ title: err.errMsg, icon: 'none' })
        if (err.code === 'SYSTEM_DENIED' || err.code === 'LOGGED_OUT' || err.code === 'DOMAIN') return
        if (err.code === 'GATE_TooManyRequests') throw err
      }
    )
  },
  onSetting(event: WechatMiniprogram.ButtonOpenSetting) {
    client.settingResult(event.detail, 'scope.userLocation').then((granted: true) => granted)
  },
  run() {
    wx.getWeRunData({ complete: (res) => client.decrypt<{ stepInfoList: object[] }>(res, { kind: 'werun' }) })
    client.patch('/api/a', { b: 1 }).abort()
    client.request({ url: '/api/a', method: 'PATCH', login: false })
    const signData = JSON.stringify({ offerId: '1450', buyQuantity: 1, currencyType: 'CNY', outTradeNo: '7', attach: '' })
    client.sign(signData).then((signature) => {
      // WeChat's page wants the text; these typings an object.
      wx.requestVirtualPayment({ signData: signData as any, mode: 'short_series_goods', paySig: '', signature })
    })
    if (client.state().loggedOut) this.setData({ expired: client.state().expiresAt })
    client.request({ url: '/api/a', method: 'POST', data: {}, onTask: (task) => task.abort(), fail: (err) => err.code })
    client.upload({ url: '/api/photo', filePath: 'wxfile://a', name: 'photo' })
    client.download({ url: '/api/report', login: false }).then(({ tempFilePath }) => tempFilePath)
    client.logout({ everywhere: true })
    // @ts-expect-error: a kind that the gate does not know
    client.decrypt({}, { kind: 'token' })
    // @ts-expect-error: login is false, or left out
    client.get('/api/a', undefined, { login: true })
    // @ts-expect-error: no such event
    client.on('relogin', () => undefined)
  }
})
