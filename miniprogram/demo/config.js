module.exports = {
  // 网关的地址。真机上必须是 https，并加入小程序的 request、uploadFile 合法域名。
  baseUrl: 'http://127.0.0.1:8000',

  // 只用于本地环境（make run）：由模拟的微信代替真微信登录。接真的网关时改为 null。
  desk: { url: 'http://127.0.0.1:8001', appid: 'wx4f4bc4dec97d474b', user: 'demo' }
}
