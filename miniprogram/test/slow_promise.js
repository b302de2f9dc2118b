'use strict'
// Before iOS 16 the base library's Promise is a polyfill whose handlers run by setTimeout, each in a task of its own.
const fs = require('node:fs')
const path = require('node:path')
const vm = require('node:vm')
const { HOME } = require('./fakes')

class SlowPromise {
  constructor(executor) {
    this.state = null
    this.handlers = []
    let over = false
    const once = (fn) => (value) => {
      if (over) return
      over = true
      fn(value)
    }
    const reject = once((reason) => this.settle('rejected', reason))
    const resolve = once((value) => {
      if (!value || typeof value.then !== 'function') return this.settle('resolved', value)
      value.then(
        (inner) => this.settle('resolved', inner),
        (reason) => this.settle('rejected', reason)
      )
    })
    try {
      executor(resolve, reject)
    } catch (e) {
      reject(e)
    }
  }

  settle(state, value) {
    this.state = state
    this.value = value
    this.handlers.splice(0).forEach((run) => setTimeout(run, 0))
  }

  then(onResolved, onRejected) {
    return new SlowPromise((resolve, reject) => {
      const run = () => {
        const handler = this.state === 'resolved' ? onResolved : onRejected
        try {
          if (handler) resolve(handler(this.value))
          else if (this.state === 'resolved') resolve(this.value)
          else reject(this.value)
        } catch (e) {
          reject(e)
        }
      }
      if (this.state) setTimeout(run, 0)
      else this.handlers.push(run)
    })
  }

  static resolve(value) {
    return new SlowPromise((resolve) => resolve(value))
  }

  static reject(reason) {
    return new SlowPromise((_, reject) => reject(reason))
  }
}

function clientWithSlowPromise(wx) {
  const file = path.join(__dirname, '..', 'miniprogram_dist', 'index.js')
  const module = { exports: {} }
  const world = { module, console, setTimeout, clearTimeout, Promise: SlowPromise }
  vm.runInNewContext(fs.readFileSync(file, 'utf8'), world, { filename: file })
  return module.exports.createClient({ baseUrl: HOME, wx })
}

module.exports = { clientWithSlowPromise }
