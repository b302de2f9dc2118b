'use strict'
// Starts the local stack on free ports, runs the tests of a folder (WXGATE_TESTS, else this one)
// against it, and ends it whatever happens.
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')
const PYTHON = process.env.WXGATE_PYTHON || path.join(ROOT, '.venv', 'bin', 'python')
const TESTS = path.resolve(process.env.WXGATE_TESTS || __dirname)
const PORTS = 5

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function freePorts() {
  for (;;) {
    const first = 20000 + Math.floor(Math.random() * 8000) * PORTS
    const free = await Promise.all(Array.from({ length: PORTS }, (_, i) => isFree(first + i)))
    if (free.every(Boolean)) return first
  }
}

/** Resolves when the stack says that it is ready, rejects with its words when it ends before. */
function ready(stack) {
  return new Promise((resolve, reject) => {
    let words = ''
    const hear = (data) => {
      words += data
      if (words.includes('is ready')) resolve()
    }
    stack.stdout.on('data', hear)
    stack.stderr.on('data', hear)
    stack.once('error', reject)
    stack.once('exit', () => reject(new Error(`The local stack ended: ${words}`)))
  })
}

function ended(child) {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code === null ? 1 : code)))
}

async function main() {
  const port = await freePorts()
  const environment = { ...process.env, PUBLIC_PATHS: 'products/*,news', LOG_LEVEL: 'CRITICAL' }
  const stack = spawn(PYTHON, ['-m', 'simulator', '--port', String(port)], { cwd: ROOT, env: environment })
  const gone = ended(stack)
  process.on('exit', () => stack.kill('SIGKILL'))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))
  await ready(stack)
  const files = fs.readdirSync(TESTS).filter((name) => name.endsWith('.test.js'))
  const tests = spawn(process.execPath, ['--test', ...process.argv.slice(2), ...files], {
    cwd: TESTS,
    env: { ...process.env, WXGATE_PORT: String(port) },
    stdio: 'inherit'
  })
  process.exitCode = await ended(tests)
  stack.kill('SIGTERM')
  await gone
}

main().catch((error) => {
  console.error(error.message)
  process.exit(1)
})
