const { tell } = require('../../words')
const client = require('../../client')

// 放进每个用到隐私接口的页面：<privacy-sheet></privacy-sheet>
Component({
  data: { open: false, name: '' },

  lifetimes: {
    attached() {
      this.off = client.privacy.onNeed((sheet) => {
        this.sheet = sheet
        this.setData({ open: true })
        client.privacy.status().then((res) => this.setData({ name: res.privacyContractName || '' }), () => {})
      })
    },
    // 还在等待的接口会得到「不同意」。
    detached() {
      this.off()
    }
  },

  methods: {
    read() {
      wx.openPrivacyContract({ fail: tell })
    },
    agree() {
      this.setData({ open: false })
      this.sheet.agree('privacy-agree') // 按钮的 id
    },
    disagree() {
      this.setData({ open: false })
      this.sheet.disagree()
    },
    stay() {}
  }
})
