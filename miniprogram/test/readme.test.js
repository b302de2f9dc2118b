'use strict'
// What the two READMEs tell people to write: it runs, and both say the same.
const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const acorn = require('acorn')
const { ok, fakeWx } = require('./fakes')

const PACKAGE = path.join(__dirname, '..')
const LIBRARY = path.join(PACKAGE, 'miniprogram_dist')
const ENGLISH = fs.readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')
const CHINESE = fs.readFileSync(path.join(PACKAGE, 'README.zh-CN.md'), 'utf8')

const blocks = (page, language) => [...page.matchAll(/```(\w+)\n([\s\S]*?)```/g)].filter((it) => it[1] === language).map((it) => it[2])
const bare = (code) => code.replace(/ *(\/\/|  # ).*/g, '')

/** A mini-program's folder, with the files that it says. */
function program(t, files) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wxgate-readme-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
    fs.writeFileSync(path.join(folder, name), text)
  }
  return folder
}

/** Opens a page: what its onLoad sets. */
async function opened(file) {
  let page
  global.Page = (definition) => (page = definition)
  require(file)
  const data = {}
  await page.onLoad.call({ setData: (more) => Object.assign(data, more) })
  return data
}

test('the ten lines work in the main package, and in an independent subpackage with a copy of its own', async (t) => {
  const [client, page] = blocks(ENGLISH, 'js')
  const folder = program(t, {
    'client.js': client,
    'pages/orders/orders.js': page,
    'sub/client.js': client.replace("require('wxgate')", "require('./wxgate/index')"),
    'sub/orders/orders.js': page.replace("'../../client'", "'../client'")
  })
  fs.cpSync(LIBRARY, path.join(folder, 'node_modules', 'wxgate'), { recursive: true })
  fs.cpSync(LIBRARY, path.join(folder, 'sub', 'wxgate'), { recursive: true })
  const wx = fakeWx((request) => (request.url.endsWith('/login') ? ok({ token: 't', expires_in: 7200 }) : ok([request.data])))
  global.wx = wx
  t.after(() => {
    delete global.wx
    delete global.Page
  })
  for (const file of ['pages/orders/orders.js', 'sub/orders/orders.js']) {
    assert.deepEqual(await opened(path.join(folder, file)), { orders: [{ page: 1 }] })
  }
  assert.deepEqual([wx.codes, wx.sent('https://api.example.com/v1/api/orders').length], [1, 2])
})

test('the lines in TypeScript agree with WeChat’s typings', (t) => {
  const options = {
    typeRoots: [path.join(PACKAGE, 'node_modules')],
    paths: { wxgate: [path.join(LIBRARY, 'index.d.ts')] },
    allowJs: false,
    checkJs: false
  }
  const tsconfig = { extends: path.join(PACKAGE, 'tsconfig.json'), compilerOptions: options, files: ['page.ts'] }
  const folder = program(t, { 'page.ts': blocks(ENGLISH, 'ts').join('\n'), 'tsconfig.json': JSON.stringify(tsconfig) })
  const tsc = path.join(PACKAGE, 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [tsc, '--project', folder], { stdio: 'pipe', encoding: 'utf8' })
})

test('each piece of code is code: a module, methods of a page, an option, or lines within a function', () => {
  const shells = [(code) => code, (code) => `({${code}})`, (code) => `async function f() {${code}}`]
  const parses = (code) => {
    try {
      acorn.parse(code, { ecmaVersion: 2022, sourceType: 'module' })
      return true
    } catch (e) {
      return false
    }
  }
  for (const code of blocks(ENGLISH, 'js')) assert.ok(shells.some((shell) => parses(shell(code))), code)
})

test('both languages show the same code, and the same names in their tables', () => {
  for (const language of ['sh', 'js', 'ts']) {
    assert.deepEqual(blocks(CHINESE, language).map(bare), blocks(ENGLISH, language).map(bare))
  }
  const named = (page) => [...page.matchAll(/^\| (.*?) \|/gm)].map((it) => it[1].replace(/[、，,]/g, ',').replace(/ /g, ''))
  assert.deepEqual(named(CHINESE).slice(1).filter((it) => it.includes('`')), named(ENGLISH).slice(1).filter((it) => it.includes('`')))
})

test('each code of the types is in both tables', () => {
  const types = fs.readFileSync(path.join(LIBRARY, 'index.d.ts'), 'utf8')
  const [, union] = /export type Code =([\s\S]*?)\n\n/.exec(types)
  const codes = [...union.matchAll(/'([A-Z_]+)'/g)].map((it) => it[1])
  assert.ok(codes.length >= 14)
  for (const code of codes) for (const page of [ENGLISH, CHINESE]) assert.match(page, new RegExp(`^\\| .*\`${code}\``, 'm'))
})
