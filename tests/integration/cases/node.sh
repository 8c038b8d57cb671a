#!/usr/bin/env bash
# node: objects, strings, buffers, timers, promises, a worker thread and a child process.
# needs: node
# SPDX-License-Identifier: MIT
set -eu
cat > program.js <<'JS'
const { Worker, isMainThread, parentPort } = require('worker_threads');
const { execFileSync } = require('child_process');
const crypto = require('crypto'), zlib = require('zlib');
const n = process.env.QUICK ? 60000 : 300000;
function work(seed) {
  const map = new Map(); let s = seed;
  for (let i = 0; i < n; i++) { s = (s * 16807) % 2147483647; map.set('k' + s % 5003, (map.get('k' + s % 5003) || '') + s % 10); }
  const text = JSON.stringify([...map].sort());
  return crypto.createHash('sha256').update(zlib.deflateSync(text)).digest('hex');
}
if (!isMainThread) parentPort.postMessage(work(3));
else {
  console.log(work(1));
  const buffers = []; for (let i = 0; i < 2000; i++) buffers.push(Buffer.alloc(i * 50, i));
  console.log(crypto.createHash('sha256').update(Buffer.concat(buffers)).digest('hex'));
  new Worker(__filename).on('message', (m) => { console.log(m); console.log(String(execFileSync('echo', ['child'])).trim()); });
}
JS
exec node program.js
