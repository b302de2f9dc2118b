'use strict'
// What the phone gets, and what keeps it small, old-fashioned and typed.
const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const vm = require('node:vm')
const zlib = require('node:zlib')
const acorn = require('acorn')

const PACKAGE = path.join(__dirname, '..')
const SOURCE = path.join(PACKAGE, 'miniprogram_dist', 'index.js')
const source = fs.readFileSync(SOURCE, 'utf8')
const manifest = JSON.parse(fs.readFileSync(path.join(PACKAGE, 'package.json'), 'utf8'))

/** Every node of the syntax tree. */
function nodesOf(node) {
  const children = Object.values(node).flat().filter((it) => it && typeof it.type === 'string')
  return [node, ...children.flatMap(nodesOf)]
}

const nodes = nodesOf(acorn.parse(source, { ecmaVersion: 5 }))

test('the file is ES5, since npm build does not transpile it', () => {
  assert.throws(() => acorn.parse('const a = 1', { ecmaVersion: 5 }))
  assert.ok(nodes.length > 1000)
})

test('the file is at most 5 KB gzipped', () => {
  assert.ok(zlib.gzipSync(source, { level: 9 }).length <= 5120)
})

/** The names that the source uses from outside, and those that it calls on objects. */
function namesIn() {
  const inner = new Set(nodes.flatMap((node) => (node.type === 'MemberExpression' && !node.computed ? [node.property] : [])))
  nodes.forEach((node) => node.type === 'Property' && inner.add(node.key))
  const of = (keep) => nodes.filter((node) => node.type === 'Identifier' && keep(node)).map((node) => node.name)
  return { variables: of((node) => !inner.has(node)), members: of((node) => inner.has(node)) }
}

test('the file needs nothing that a phone lacks: no require, no eval, no Function, no late globals', () => {
  const { variables, members } = namesIn()
  const lacking = ['require', 'eval', 'Function', 'window', 'global', 'globalThis', 'process', 'Symbol', 'Map', 'Set', 'Proxy']
  assert.deepEqual(lacking.filter((name) => variables.includes(name)), [])
  const late = ['finally', 'assign', 'includes', 'find', 'startsWith', 'endsWith', 'allSettled', 'any', 'entries', 'values']
  assert.deepEqual(late.filter((name) => members.includes(name)), [])
  assert.ok(variables.includes('Promise') && members.includes('then'))
})

test('the one name can be imported from a module, as bundlers do it', async () => {
  const { createClient } = await import(SOURCE)
  assert.equal(createClient, require(SOURCE).createClient)
})

test('importing does nothing', () => {
  const touch = () => assert.fail('touched at import')
  const wx = new Proxy({}, { get: touch, has: touch })
  const module = { exports: {} }
  vm.runInNewContext(source, { module, wx, setTimeout: touch, Promise: touch, console: null })
  assert.deepEqual(Object.keys(module.exports), ['createClient'])
})

test('the package has no dependencies, and the phone gets its own directory', () => {
  assert.equal(manifest.dependencies, undefined)
  assert.equal(manifest.miniprogram, 'miniprogram_dist')
  assert.deepEqual(fs.readdirSync(path.join(PACKAGE, 'miniprogram_dist')).sort(), ['index.d.ts', 'index.js'])
})

test('the versions of the tools are exact, and the lock names no address', () => {
  for (const version of Object.values(manifest.devDependencies)) assert.match(version, /^\d+\.\d+\.\d+$/)
  const lock = fs.readFileSync(path.join(PACKAGE, 'package-lock.json'), 'utf8')
  assert.ok(!lock.includes('"resolved"') && !/https?:/.test(lock.replace(/"funding":[\s\S]*?\}/g, '')))
})

test('the library and a program in TypeScript agree with WeChat’s typings', () => {
  const tsc = path.join(PACKAGE, 'node_modules', 'typescript', 'bin', 'tsc')
  execFileSync(process.execPath, [tsc, '--project', PACKAGE], { stdio: 'pipe', encoding: 'utf8' })
})

test('each function of the client is documented in its types, and each documented one exists', () => {
  const types = fs.readFileSync(SOURCE.replace(/\.js$/, '.d.ts'), 'utf8')
  const documented = types.slice(types.indexOf('export interface Client {'))
  const { createClient } = require(SOURCE)
  const client = createClient({ baseUrl: 'https://a', wx: {} })
  for (const name of Object.keys(client)) assert.match(documented, new RegExp(`\\n  ${name}[<(:]`))
  const names = [...documented.matchAll(/^ {2}(\w+)[<(:]/gm)].map((match) => match[1])
  assert.deepEqual(names.filter((name) => !(name in client)), [])
})
