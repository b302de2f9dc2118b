const { tell } = require('../../words')
const { client } = getApp()

Page({
  data: { loggedIn: null, words: '' },

  onLoad() {
    this.offs = [
      client.on('login', () => this.setData({ loggedIn: true })),
      client.on('logout', () => this.setData({ loggedIn: false }))
    ]
    return this.look()
  },

  onUnload() {
    this.offs.forEach((off) => off())
  },

  // 只看不登录：网关认不认手机里的 token。一般的页面不需要这样问。
  look() {
    const show = (loggedIn) => {
      if (this.data.loggedIn === null) this.setData({ loggedIn }) // 等回答时登录或退出过，以那个为准
    }
    return client.get('/session', {}, { login: false }).then(
      (res) => show(res.statusCode === 200),
      (err) => (err.code === 'NOT_LOGGED_IN' ? show(false) : tell(err))
    )
  },

  // 需要解密的页面在 onLoad 里这样做：token 和微信的登录态都有效吗？有一个失效就登录。
  ensure() {
    return this.say(client.ensureSession(), (res) => (res.renewed ? '刚刚自动登录' : '都有效，没有重新登录'))
  },

  login() {
    return this.say(client.login(), () => '已重新登录')
  },

  logout() {
    return this.say(client.logout(), () => '这部手机已退出')
  },

  // 退出所有手机要先证明是谁：token 可能已经失效。
  logoutEverywhere() {
    const leaving = client.ensureLogin().then(() => client.logout({ everywhere: true }))
    return this.say(leaving, () => '所有手机都已退出')
  },

  say(promise, words) {
    return promise.then((res) => this.setData({ words: words(res) })).catch(tell)
  }
})
