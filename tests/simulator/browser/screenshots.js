'use strict'
// Takes the pictures of the READMEs: a request that is refused, logs in and is sent again.
const path = require('node:path')
const { Playground, launch } = require('./browser')

const URL = process.env.PLAYGROUND_URL
const DOCS = path.join(__dirname, '..', '..', '..', 'docs')
const PICTURES = { en: 'playground.png', zh: 'playground.zh-CN.png' }
const SIZE = { width: 1440, height: 940 }

async function take(browser, lang) {
  const playground = await Playground.open(browser, URL, { viewport: SIZE, colorScheme: 'light' })
  await playground.load({ lang })
  await playground.tap('login')
  await playground.turn('revoke')
  await playground.page.click('#clear')
  await playground.tap('request')
  await playground.page.evaluate(() => {
    document.activeElement.blur()
    document.getElementById('board').scrollTop = 0
  })
  await playground.page.screenshot({ path: path.join(DOCS, PICTURES[lang]) })
  await playground.close()
}

async function main() {
  const browser = await launch()
  for (const lang of Object.keys(PICTURES)) await take(browser, lang)
  await browser.close()
}

main()
