const { tell } = require('../../words')
const client = require('../../client')

const LOOKING = '正在查看'

Page({
  data: { title: LOOKING, live: false, words: '' },

  onLoad() {
    this.offs = [client.on('login', () => this.show('已登录')), client.on('logout', () => this.show('已退出'))]
    return this.look()
  },

  onUnload() {
    this.offs.forEach((off) => off())
  },

  show(title) {
    this.setData({ title, live: title === '已登录' })
  },

  // 只看不登录。手机里记着：退出过吗？没有退出过，再问网关认不认 token。一般的页面不需要这样问。
  look() {
    if (client.state().loggedOut) {
      this.show('已退出')
      return Promise.resolve()
    }
    const show = (title) => {
      if (this.data.title === LOOKING) this.show(title) // 等回答时登录或退出过，以那个为准
    }
    return client.get('/session', {}, { login: false }).then(
      (res) => show(res.statusCode === 200 ? '已登录' : '未登录'),
      (err) => (err.code === 'NOT_LOGGED_IN' ? show('未登录') : tell(err))
    )
  },

  // 需要解密的页面在 onLoad 里这样做：token 和微信的登录态都有效吗？有一个失效就登录。
  ensure() {
    return this.say(client.ensureSession(), (res) => (res.renewed ? '刚刚自动登录' : '都有效，没有重新登录'))
  },

  login() {
    return this.say(client.login(), () => '刚刚登录')
  },

  // 退出之后，客户端不再自动登录，重启小程序也一样，直到用户点「登录」。
  logout() {
    return this.say(client.logout(), () => '这部手机已退出')
  },

  // 退出所有手机要先证明是谁：token 可能已经失效，或者已经退出。
  logoutEverywhere() {
    const known = client.state().loggedIn ? Promise.resolve() : client.login()
    const leaving = known.then(() => client.logout({ everywhere: true }))
    return this.say(leaving, () => '所有手机都已退出')
  },

  say(promise, words) {
    return promise.then((res) => this.setData({ words: words(res) })).catch(tell)
  }
})
