'use strict'
// What WeChat's compilers say of the demo's templates and styles, and what they do not look at.
const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { TmplGroup } = require('glass-easel-template-compiler')

const DEMO = path.join(__dirname, '..', 'demo')
const PLATFORM = { linux: 'linux', darwin: 'mac', win32: 'windows' }[process.platform]

// What a developer may have generated does not count.
const generated = (name) => name.split(path.sep).some((part) => part === 'node_modules' || part === 'miniprogram_npm')
const files = fs.readdirSync(DEMO, { recursive: true }).filter((name) => !generated(name))
const ending = (end) => files.filter((name) => name.endsWith(end)).sort()
const read = (name) => fs.readFileSync(path.join(DEMO, name), 'utf8')
const readJson = (name) => JSON.parse(read(name))
const templates = ending('.wxml')

/** Runs wcc or wcsc, which are Linux programs on Linux; gives what it complains of. */
function complaintsOf(compiler, names, cwd = DEMO) {
  const file = require.resolve(`miniprogram-compiler/bin/${PLATFORM}/${compiler}${PLATFORM === 'windows' ? '.exe' : ''}`)
  fs.chmodSync(file, 0o755) // packed without the right to run
  const { status, stdout, stderr, error } = spawnSync(file, names, { cwd, encoding: 'utf8' })
  assert.ifError(error)
  assert.ok(status !== 0 || stdout.length > 100, 'it gives a program')
  return status === 0 ? stderr : stderr || `ended with ${status}`
}

/** A folder with one broken file, to see that the compiler looks. */
function broken(t, name, text) {
  const folder = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'wxgate-broken-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  fs.writeFileSync(path.join(folder, name), text)
  return folder
}

test('the official compiler takes every template', () => {
  assert.ok(templates.length >= 7)
  assert.equal(complaintsOf('wcc', ['-d', ...templates]), '')
})

test('the official compiler would name the line of a broken template', (t) => {
  assert.match(complaintsOf('wcc', ['-d', 'a.wxml'], broken(t, 'a.wxml', '<view>\n<text></view>')), /a\.wxml:2/)
})

test('the official compiler takes every style', () => {
  const styles = ending('.wxss')
  assert.ok(styles.length >= 6)
  assert.equal(complaintsOf('wcsc', styles), '')
})

test('the official compiler would name the line of a broken style', (t) => {
  assert.match(complaintsOf('wcsc', ['a.wxss'], broken(t, 'a.wxss', '.a {\n  color: }\n}}')), /a\.wxss/)
})

/** What WeChat's newer compiler finds: `path:line words`. */
function findingsOf(name, source) {
  const group = new TmplGroup()
  try {
    return group.addTmpl(name, source).map((it) => `${name}:${it.startLine} ${it.message}`)
  } finally {
    group.free()
  }
}

test('the newer compiler finds nothing in any template, not even a warning', () => {
  assert.deepEqual(templates.flatMap((name) => findingsOf(name.replace('.wxml', ''), read(name))), [])
})

test('the newer compiler would find an attribute that is there twice', () => {
  assert.equal(findingsOf('a', '<view id="a" id="b" />').length, 1)
})

/** Names of handlers that a template binds: bind:tap="a", catchtap="b". */
function handlersIn(source) {
  return [...source.matchAll(/\s(?:mut-|capture-)?(?:bind|catch)[:\w-]*="([^"]*)"/g)].map((match) => match[1])
}

/** What a page or component defines, by running its file with a phone that does nothing. */
function methodsOf(name) {
  let found
  const take = (definition) => (found = { ...definition, ...definition.methods })
  const module = { exports: {} }
  const needed = (id) => (id.endsWith('/client') ? {} : require(path.resolve(DEMO, path.dirname(name), id)))
  const load = new Function('require', 'module', 'exports', 'Page', 'Component', read(name))
  load(needed, module, module.exports, take, take)
  return found
}

for (const template of templates) {
  test(`each handler that ${template} binds exists`, () => {
    const methods = methodsOf(template.replace('.wxml', '.js'))
    assert.deepEqual(handlersIn(read(template)).filter((name) => typeof methods[name] !== 'function'), [])
  })
}

test('handlers are found in every way of binding them', () => {
  const source = '<a bind:tap="one" bindtap="two" catch:tap="three" capture-bind:tap="four" mut-bind:tap="five" data-bind="no">'
  assert.deepEqual(handlersIn(source), ['one', 'two', 'three', 'four', 'five'])
  assert.ok(templates.flatMap((name) => handlersIn(read(name))).length >= 14)
})

test('templates bind events with a colon, so that they also run in a browser', () => {
  for (const name of templates) assert.doesNotMatch(read(name), /\s(bind|catch)\w+=/)
})

/** Class names in a template, the literals in {{ }} included. */
function classesIn(source) {
  const values = [...source.matchAll(/\s(?:hover-)?class="([^"]*)"/g)].map((match) => match[1])
  return values.flatMap((value) => {
    const chosen = [...value.matchAll(/'([\w-]+)'/g)].map((match) => match[1])
    return [...value.replace(/\{\{.*?\}\}/g, '').split(/\s+/), ...chosen].filter(Boolean)
  })
}

for (const template of templates) {
  test(`each class in ${template} has a style`, () => {
    const own = template.replace('.wxml', '.wxss')
    // A component does not see the app's styles.
    const styles = (template.startsWith('pages') ? read('app.wxss') : '') + (files.includes(own) ? read(own) : '')
    const missing = classesIn(read(template)).filter((name) => !new RegExp(`\\.${name}(?![\\w-])`).test(styles))
    assert.deepEqual(missing.filter((name) => name !== 'none'), []) // hover-class="none" is WeChat's word
  })
}

test('each page of app.json is there, and there is no other', () => {
  const { pages } = readJson('app.json')
  for (const page of pages) for (const end of ['js', 'json', 'wxml']) assert.ok(files.includes(`${page}.${end}`), `${page}.${end}`)
  assert.deepEqual(ending('.wxml').filter((name) => name.startsWith('pages')), pages.map((page) => `${page}.wxml`).sort())
})

test('each link leads to a page', () => {
  const pages = readJson('app.json').pages.map((page) => `/${page}`)
  const links = files.filter((name) => /^pages.*\.js$/.test(name)).flatMap((name) => [...read(name).matchAll(/url: '(\/pages[^']*)'/g)])
  assert.equal(links.length, pages.length - 1)
  for (const [, url] of links) assert.ok(pages.includes(url), url)
})

test('a page whose button may wait for the privacy agreement has the sheet', () => {
  const needing = templates.filter((name) => /open-type="(chooseAvatar|getPhoneNumber|openSetting)"/.test(read(name)))
  assert.equal(needing.length, 3)
  for (const name of needing) {
    assert.match(read(name), /<privacy-sheet>/)
    assert.ok(readJson(name.replace('.wxml', '.json')).usingComponents['privacy-sheet'])
  }
})

test('the demo carries no copy of the library: what is generated is ignored', () => {
  const tracked = spawnSync('git', ['ls-files', 'miniprogram_npm', 'node_modules'], { cwd: DEMO, encoding: 'utf8' })
  assert.equal(tracked.stdout, '')
  assert.match(read('.gitignore'), /^miniprogram_npm\/$/m)
  for (const name of ending('.js')) assert.doesNotMatch(read(name), /function createClient/)
})

test('no page takes the client from getApp(), which is undefined in an independent subpackage', () => {
  for (const name of ending('.js')) assert.doesNotMatch(read(name).replace(/\/\/.*/g, ''), /getApp\(/)
})

test('a project of nobody, that DevTools opens for everybody and lets speak to this desk', () => {
  const { baseUrl, desk } = require(path.join(DEMO, 'config.js'))
  assert.deepEqual([baseUrl, desk.url, desk.appid], ['http://127.0.0.1:8000', 'http://127.0.0.1:8001', 'wx4f4bc4dec97d474b'])
  const project = readJson('project.config.json')
  assert.deepEqual([project.appid, project.setting.urlCheck], ['touristappid', false])
})
