const { tell } = require('../../words')
const client = require('../../client')

// 拿不到微信里的手机号时，让用户自己填。
const BY_HAND = ['USER_DENIED', 'QUOTA', 'UNSUPPORTED']

Page({
  data: { phoneNumber: '', byHand: false, busy: false },

  onPhone(e) {
    this.setData({ busy: true })
    return client.phone(e.detail)
      .then((opened) => this.setData({ phoneNumber: opened.data.phoneNumber, byHand: false }))
      .catch((err) => {
        if (BY_HAND.indexOf(err.code) >= 0) this.setData({ byHand: true })
        tell(err)
      })
      .then(() => this.setData({ busy: false }))
  }
})
