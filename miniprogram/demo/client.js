const { createClient } = require('wxgate')
const config = require('./config')

if (config.desk) require('./desk')(config.desk)

// 各页用 require 取得它，而不是 getApp()：独立分包里 getApp() 可能是 undefined。
module.exports = createClient({ baseUrl: config.baseUrl })
