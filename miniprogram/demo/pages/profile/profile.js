const { tell, accepted } = require('../../words')
const client = require('../../client')

Page({
  data: { avatarUrl: '', saved: '', busy: false },

  onAvatar(e) {
    this.setData({ avatarUrl: e.detail.avatarUrl }) // 临时文件，要上传才能保存
  },

  save(e) {
    const nickname = e.detail.value.nickname
    const avatarUrl = this.data.avatarUrl
    if (!nickname || !avatarUrl) {
      wx.showToast({ title: '请选择头像并填写昵称', icon: 'none' })
      return
    }
    this.setData({ busy: true })
    return client.upload({ url: '/api/avatar', filePath: avatarUrl, name: 'avatar' })
      .then(accepted)
      .then(() => client.post('/api/profile', { nickname }))
      .then(accepted)
      .then(() => this.setData({ saved: nickname }))
      .catch(tell)
      .then(() => this.setData({ busy: false }))
  }
})
