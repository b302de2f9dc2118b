'use strict'
// The demo on a simulated phone: its own app.js, pages and components, rendered by WeChat's compiler and exparser.
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { JSDOM } = require('jsdom')
const { createPhone } = require('../../simulator/wx.js')

const { window } = new JSDOM('<!doctype html><body></body>', { pretendToBeVisual: true })
for (const name of ['window', 'document', 'Element', 'HTMLElement', 'Node', 'Event', 'CustomEvent', 'TouchEvent']) {
  global[name] = name === 'window' ? window : window[name]
}
global.requestAnimationFrame = window.requestAnimationFrame
const simulate = require('miniprogram-simulate')

const DEMO = path.join(__dirname, '..', 'demo')
const LIBRARY = path.join(__dirname, '..', 'miniprogram_dist')
const PORT = Number(process.env.WXGATE_PORT)
const GATE = `http://127.0.0.1:${PORT}`
const WECHAT = `http://127.0.0.1:${PORT + 1}`
const APPID = 'wx4f4bc4dec97d474b'
const PATIENCE = 10000 // ms

const GENERATED = ['node_modules', 'miniprogram_npm']

/** The demo as its developer sets it up: another config.js, and the library where Node looks for npm's names. */
function setUp(config) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wxgate-demo-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  fs.cpSync(DEMO, folder, { recursive: true, filter: (from) => !GENERATED.includes(path.basename(from)) })
  fs.cpSync(LIBRARY, path.join(folder, 'node_modules', 'wxgate'), { recursive: true })
  fs.writeFileSync(path.join(folder, 'config.js'), `module.exports = ${JSON.stringify(config)}\n`)
  return folder
}

const folders = new Map()
function folderOf(config) {
  const key = JSON.stringify(config)
  if (!folders.has(key)) folders.set(key, setUp(config))
  return folders.get(key)
}

const LIFE = ['data', 'onLoad', 'onUnload']

/** A page is a component whose methods stand beside its data. */
function Page(definition) {
  const methods = Object.fromEntries(Object.entries(definition).filter(([name]) => !LIFE.includes(name)))
  global.Component({
    data: definition.data,
    methods,
    lifetimes: {
      attached() {
        if (definition.onLoad) this.loading = definition.onLoad.call(this, {})
      },
      detached() {
        if (definition.onUnload) definition.onUnload.call(this)
      }
    }
  })
}

let users = 0

/**
 * Starts the demo on the phone of a user whom no other test knows. `wx` replaces functions of the phone; `config` parts of
 * config.js; the rest are createPhone's options.
 */
function startDemo({ wx, config, ...options } = {}) {
  if (!PORT) throw new Error('Run these tests by npm test: it starts the local stack.')
  const user = `demo-${process.pid}-${++users}`
  const phone = createPhone({ wechatUrl: WECHAT, appid: APPID, user, ...options })
  const toasts = []
  global.wx = Object.assign(phone.wx, { showToast: ({ title }) => toasts.push(title) }, wx)
  global.Page = Page
  const folder = folderOf({ baseUrl: GATE, desk: null, ...config })
  global.App = () => undefined
  for (const file of Object.keys(require.cache)) if (file.startsWith(folder)) delete require.cache[file]
  require(path.join(folder, 'app.js'))
  const client = require(path.join(folder, 'client.js'))
  return { user, phone, toasts, client, open: (name) => openPage(folder, phone, name) }
}

function openPage(folder, phone, name) {
  const root = simulate.render(simulate.load(path.join(folder, 'pages', name, name), name, { rootPath: folder }))
  const parent = document.createElement('div')
  document.body.append(parent)
  root.attach(parent)
  return pageOf(root, phone)
}

/** exparser selects by id and class alone; the class of what it finds is not exported. */
function componentOf(root, tag) {
  const Component = Object.getPrototypeOf(root.constructor)
  return new Component(root.dom.querySelector(tag).__wxElement)
}

function pageOf(root, phone) {
  const page = {
    get data() {
      return root.data
    },
    get text() {
      return root.dom.textContent.replace(/\s+/g, ' ')
    },
    loading: () => root.instance.loading,
    find: (selector) => root.querySelector(selector),
    all: (selector) => root.querySelectorAll(selector),
    /** A component in this page, as a page of its own. */
    part: (tag) => pageOf(componentOf(root, tag), phone),
    /** Sends an event to an element; a button with an open-type is tapped on the phone. */
    fire: (selector, type, detail) => root.querySelector(selector).dispatchEvent(type, { detail }),
    tap: (selector) => page.fire(selector, 'tap'),
    tapButton: (selector, openType, id) =>
      phone.tapButton(openType, (event) => page.fire(selector, event.type, event.detail), id),
    leave: () => root.detach()
  }
  return page
}

/** Waits until the condition gives something. */
async function until(condition) {
  const end = Date.now() + PATIENCE
  for (;;) {
    const found = condition()
    if (found) return found
    if (Date.now() > end) throw new Error(`This never came true: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

module.exports = { APPID, DEMO, GATE, WECHAT, startDemo, until }
