'use strict'
// Builds the demo with miniprogram-ci, the code that is inside WeChat DevTools: npm build, app.json, pages, scripts.
// Run it without a network (`unshare -n`): of WeChat's servers it needs nothing.
const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const ci = require('miniprogram-ci')

const PACKAGE = path.join(__dirname, '..', '..')
const SECONDS = 150

const read = (...names) => fs.readFileSync(path.join(...names), 'utf8')

const GENERATED = ['node_modules', 'miniprogram_npm']

/** A copy of the demo beside a copy of the library, as in a developer's checkout after `make demo`. */
function checkout() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wxgate-devtools-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  for (const name of ['package.json', 'miniprogram_dist', 'demo']) {
    const filter = (from) => !GENERATED.includes(path.basename(from))
    fs.cpSync(path.join(PACKAGE, name), path.join(folder, name), { recursive: true, filter })
  }
  fs.cpSync(path.join(PACKAGE, 'miniprogram_dist'), path.join(folder, 'demo', 'miniprogram_npm', 'wxgate'), { recursive: true })
  return folder
}

function projectOf(folder) {
  return new ci.Project({
    appid: 'wx0000000000000000',
    type: 'miniProgram',
    projectPath: path.join(folder, 'demo'),
    privateKey: 'none',
    ignores: ['node_modules/**/*'],
    attr: async () => ({ ...ci.DefaultProjectAttr }) // else it asks WeChat, signed with a key that nobody has here
  })
}

/** DevTools' "构建 npm", after the `npm install` that it asks for. */
async function buildNpm(folder) {
  const demo = path.join(folder, 'demo')
  fs.rmSync(path.join(demo, 'miniprogram_npm'), { recursive: true })
  execFileSync('npm', ['install', '--offline', '--no-update-notifier'], { cwd: demo, stdio: 'pipe' })
  const warnings = await ci.packNpm(projectOf(folder), {})
  assert.deepEqual(warnings, [])
  const built = path.join(demo, 'miniprogram_npm', 'wxgate')
  const library = path.join(PACKAGE, 'miniprogram_dist')
  assert.deepEqual(fs.readdirSync(built).sort(), fs.readdirSync(library).sort())
  for (const name of fs.readdirSync(library)) assert.equal(read(built, name), read(library, name))
}

async function compile(folder) {
  const zip = path.join(folder, 'demo.zip')
  const setting = JSON.parse(read(folder, 'demo', 'project.config.json')).setting
  await ci.getCompiledResult({ project: projectOf(folder), setting: { es6: setting.es6, minify: setting.minified } }, zip)
  return fs.statSync(zip).size
}

/** What the compiler says of a demo that somebody broke; it must say something, else it did not look. */
async function complaintOf(breakIt) {
  const folder = checkout()
  breakIt(path.join(folder, 'demo'))
  return compile(folder).then(
    () => assert.fail('The compiler took a broken demo.'),
    (error) => String(error.message || error)
  )
}

const BROKEN = [
  ['a page that is not there', /pages.*(phone|10005)/is, (demo) => fs.rmSync(path.join(demo, 'pages/phone/phone.wxml'))],
  ['a component that is not there', /privacy-sheet/, (demo) => fs.rmSync(path.join(demo, 'components'), { recursive: true })],
  ['a script that is none', /words\.js/, (demo) => fs.appendFileSync(path.join(demo, 'words.js'), '\n)')],
  ['an app.json of another shape', /app\.json|lazyCodeLoading/, (demo) => edit(path.join(demo, 'app.json'), { lazyCodeLoading: 1 })]
]

function edit(file, members) {
  fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), ...members }))
}

async function main() {
  const folder = checkout()
  const size = await compile(folder)
  await buildNpm(folder)
  await compile(folder)
  for (const [name, words, breakIt] of BROKEN) assert.match(await complaintOf(breakIt), words, name)
  console.log(`DevTools builds the demo: ${size} bytes zipped, npm build equal to the library, ${BROKEN.length} broken demos refused.`)
}

setTimeout(() => {
  console.error(`The build took over ${SECONDS} seconds.`)
  process.exit(1)
}, SECONDS * 1000).unref()

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  }
)
