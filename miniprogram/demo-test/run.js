'use strict'
// Starts the local stack, drives the demo against it, and ends it whatever happens.
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')
const PYTHON = process.env.WXGATE_PYTHON || path.join(ROOT, '.venv', 'bin', 'python')

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** The first of five free ports in a row. */
async function freePorts() {
  for (;;) {
    const first = 10000 + Math.floor(Math.random() * 1900) * 5
    const free = await Promise.all([0, 1, 2, 3, 4].map((i) => isFree(first + i)))
    if (free.every(Boolean)) return first
  }
}

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

const ended = (child) => new Promise((resolve) => child.once('exit', (code) => resolve(code === null ? 1 : code)))

async function main() {
  const port = await freePorts()
  const environment = { ...process.env, LOG_LEVEL: 'CRITICAL' }
  const stack = spawn(PYTHON, ['-m', 'simulator', '--port', String(port)], { cwd: ROOT, env: environment })
  const gone = ended(stack)
  process.on('exit', () => stack.kill('SIGKILL'))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))
  await ready(stack)
  const files = fs.readdirSync(__dirname).filter((name) => name.endsWith('.test.js'))
  const tests = spawn(process.execPath, ['--test', ...process.argv.slice(2), ...files], {
    cwd: __dirname,
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
