'use strict'
// Chromium before the playground, and what a test asks of it.
const { chromium } = require('playwright-core')

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]
const DESKTOP = { width: 1440, height: 900 }

const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS })

/** The playground in a tab of its own. */
class Playground {
  static async open(browser, url, options = {}) {
    const context = await browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce', ...options })
    const page = await context.newPage()
    const playground = new Playground(context, page, url)
    // A refused request is an error in Chromium's console; it is what the flows are about.
    page.on('console', (message) => {
      if (!message.text().startsWith('Failed to load resource')) playground.complaints.push(message.text())
    })
    page.on('pageerror', (error) => playground.complaints.push(String(error)))
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin) playground.complaints.push(`asked for ${request.url()}`)
    })
    return playground
  }

  constructor(context, page, url) {
    this.context = context
    this.page = page
    this.url = url
    this.complaints = []
  }

  /** Loads the page: a new phone, without a token. */
  async load({ user = 'ann', lang = 'en' } = {}) {
    await this.page.goto(`${this.url}/?lang=${lang}&user=${user}`)
    await this.page.waitForSelector('body[data-ready]')
  }

  /**
   * Taps a button of a phone, answers the sheets that come up, in this order, with true or false, and gives the arrows that were
   * drawn: `phone → gate: GET /api/orders/7`, `phone: replay`.
   */
  async tap(act, { phone = 'phone', answers = [] } = {}) {
    const root = `[data-phone=${phone}]`
    const before = (await this.arrows()).length
    await this.page.click(`${root} [data-act=${act}]`)
    for (const yes of answers) {
      await this.page.click(`${root} dialog[open] [data-answer=${yes ? 'yes' : 'no'}]`)
    }
    await this.page.waitForSelector(`${root}:not([data-busy])`)
    return (await this.arrows()).slice(before)
  }

  /** Uses a switch; waits until it is done, and gives the arrows that were drawn. */
  async turn(name) {
    const before = (await this.arrows()).length
    await this.page.click(`[data-switch=${name}]`)
    await this.page.waitForSelector(`[data-switch=${name}]:not([aria-busy])`)
    return (await this.arrows()).slice(before)
  }

  arrows() {
    return this.page.$$eval('.message button', (buttons) =>
      buttons.map((button) => {
        const { from, to } = button.dataset
        return `${from === to ? from : `${from} → ${to}`}: ${button.querySelector('.label b').textContent}`
      })
    )
  }

  /** The code of the error that a phone shows, or its text. */
  async result(phone = 'phone') {
    const result = this.page.locator(`[data-phone=${phone}] .result`)
    return (await result.locator('code').count()) ? result.locator('code').textContent() : result.innerText()
  }

  async close() {
    await this.context.close()
  }
}

module.exports = { DESKTOP, Playground, launch }
