Page({
  data: {
    pages: [
      { url: '/pages/session/session', mark: '登', name: '登录状态', note: '检查、登录、退出之后' },
      { url: '/pages/profile/profile', mark: '我', name: '头像昵称', note: '填写后上传' },
      { url: '/pages/phone/phone', mark: '号', name: '手机号', note: '一次点击，由网关换取' },
      { url: '/pages/steps/steps', mark: '步', name: '微信步数', note: '授权、解密、拒绝之后' },
      { url: '/pages/orders/orders', mark: '单', name: '我的订单', note: '业务 API，不必先登录' }
    ]
  }
})
