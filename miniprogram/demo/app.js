const { createClient } = require('wxgate')
const config = require('./config')

if (config.desk) require('./desk')(config.desk)

// 不在启动时登录：第一个需要登录的请求会自己登录。
App({
  client: createClient({ baseUrl: config.baseUrl })
})
