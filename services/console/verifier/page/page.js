"use strict";

// The page around the program aliquot-verify. Every verification is a new run
// of that program, with the two files as its whole file system; the page shows
// what it printed and decides nothing itself.
(() => {
  const $ = (id) => document.getElementById(id);
  const longest = Number(document.body.dataset.longest);
  const longestKey = 4096;

  // What was given: text from the boxes or the bytes of a file.
  let receiptFile = null; // bytes
  let latest = 0; // the run whose verdict may be shown
  let queue = Promise.resolve(); // of runs

  // The program: base64 of gzip of WebAssembly, compiled once.
  let compiled = null;
  function program() {
    compiled ??= (async () => {
      const text = $("program").textContent;
      if (text === "") throw new Error("this page was made without its program");
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return WebAssembly.compile(await new Response(stream).arrayBuffer());
    })();
    return compiled;
  }

  function code(name) {
    const err = new Error(name);
    err.code = name;
    return err;
  }

  // disk gives a Go program files by absolute name, to be read from start to
  // end, and gathers what it prints. Everything else is refused by the runtime.
  function disk(files) {
    const open = new Map();
    const printed = ["", "", ""];
    const decoders = [1, 2, 3].map(() => new TextDecoder());
    let next = 3;
    Object.assign(globalThis.fs, {
      open(path, flags, mode, done) {
        if (!Object.hasOwn(files, path)) return done(code("ENOENT"));
        open.set(next, { bytes: files[path], at: 0 });
        done(null, next++);
      },
      read(fd, buffer, offset, length, position, done) {
        const file = open.get(fd);
        if (file === undefined || position !== null) return done(code("EBADF"));
        const part = file.bytes.subarray(file.at, file.at + length);
        buffer.set(part, offset);
        file.at += part.length;
        done(null, part.length);
      },
      close(fd, done) {
        done(open.delete(fd) ? null : code("EBADF"));
      },
      writeSync(fd, buffer) {
        printed[fd] += decoders[fd].decode(buffer, { stream: true });
        return buffer.length;
      },
    });
    return printed;
  }

  // run verifies once, and returns the program's exit code and what it printed.
  async function run(receipt, key) {
    const module = await program();
    const printed = disk({ "/receipt": receipt, "/key": key });
    const go = new Go();
    go.argv = ["aliquot-verify", "-key", "/key", "-json", "/receipt"];
    let exit = -1;
    go.exit = (status) => { exit = status; };
    await go.run(await WebAssembly.instantiate(module, go.importObject));
    return { exit, out: printed[1], err: printed[2].trim() };
  }

  function element(name, text, attributes) {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    return Object.assign(e, attributes);
  }

  function show(state, title, why, ...more) {
    const banner = element("p", undefined, { className: "banner " + state });
    banner.append(element("strong", title));
    if (why) banner.append(element("span", why, { className: "why" }));
    const verdict = $("verdict");
    verdict.replaceChildren(banner, ...more.flat());
    verdict.dataset.state = state;
    document.title = title + " · aliquot";
  }

  function list(id, title, note, items) {
    const ul = element("ul", undefined, { id });
    ul.append(...items);
    return [element("h3", title), element("p", note, { className: "note" }), ul];
  }

  function lines(texts) {
    return texts.map((text) => element("li", text));
  }

  function signedBy(s) {
    const dl = element("dl");
    const row = (term, value) => dl.append(element("dt", term), element("dd", value));
    row("log", s.origin);
    row("signed by", s.by);
    for (const w of s.witnesses ?? []) row("witness", w);
    row("entries", String(s.size));
    row("root", s.root);
    const li = element("li");
    li.append(dl);
    return li;
  }

  // present shows a verdict. Only exit 0 together with a verdict that says so
  // is a yes; anything unexpected is a no.
  function present({ exit, out, err }) {
    if (exit === 2) {
      return show("maybe", "Cannot be checked", err.replace(/^aliquot-verify: /, "").replace(/"\/key"/, "the key"));
    }
    let verdict;
    try {
      verdict = JSON.parse(out);
    } catch {
      return show("no", "Not verified", "The verifier stopped without a verdict. " + err);
    }
    if (exit !== 0 || verdict.ok !== true || verdict.fault) {
      return show("no", "Not verified", verdict.fault || err || "The verifier gave no reason.");
    }
    const stated = verdict.stated ?? [];
    show("yes", "Verified", "Receipt of " + verdict.kind + " " + verdict.id,
      list("proved", "Proved", "This follows from bytes under a signed root and was computed again here.", lines(verdict.proved ?? [])),
      stated.length === 0 ? [] :
        list("stated", "Stated, not proved", "The receipt says this, but nothing in it proves it.", lines(stated)),
      list("signed", "Signed", "The logs against which the receipt was checked.", (verdict.signed ?? []).map(signedBy)));
  }

  function receiptBytes() {
    if (receiptFile !== null) return receiptFile;
    return new TextEncoder().encode($("receipt-text").value);
  }

  // verify runs with what is there. With ask, it says what is missing.
  async function verify(ask) {
    const turn = ++latest;
    const receipt = receiptBytes();
    const key = $("key-text").value.trim();
    if (receipt.length === 0 || key === "") {
      if (ask) {
        show("maybe", "Something is missing", receipt.length === 0 ? "Give the receipt." : "Give the public key of the logs.");
        $(receipt.length === 0 ? "receipt-text" : "key-text").focus();
      } else {
        empty();
      }
      return;
    }
    $("verify").disabled = true;
    $("verdict").setAttribute("aria-busy", "true");
    try {
      // One at a time: the runs share the one file system of the page.
      queue = queue.catch(() => {}).then(() => run(receipt, new TextEncoder().encode(key)));
      const result = await queue;
      if (turn === latest) present(result);
    } catch (problem) {
      if (turn === latest) show("no", "Not verified", "The verifier could not run here: " + problem.message);
    } finally {
      if (turn === latest) {
        $("verify").disabled = false;
        $("verdict").removeAttribute("aria-busy");
      }
    }
    if (ask && turn === latest) $("verdict").focus();
  }

  function empty() {
    $("verdict").replaceChildren();
    $("verdict").dataset.state = "empty";
    document.title = "Verify a receipt · aliquot";
  }

  // inInput lets a file input show a file that was dropped; null empties it.
  function inInput(input, file) {
    const transfer = new DataTransfer();
    if (file !== null) transfer.items.add(file);
    input.files = transfer.files;
  }

  function chosen(bytes) {
    receiptFile = bytes;
    $("receipt-chosen").textContent = bytes === null ? "" : bytes.length.toLocaleString("en") + " bytes";
  }

  // read returns a file's bytes: at most one more than the program reads, so
  // that the program itself says what is too long.
  async function read(file, most) {
    return new Uint8Array(await file.slice(0, most + 1).arrayBuffer());
  }

  async function takeReceipt(file) {
    const bytes = await read(file, longest);
    $("receipt-text").value = "";
    inInput($("receipt-file"), file);
    chosen(bytes);
  }

  async function takeKey(file) {
    const bytes = await read(file, longestKey);
    inInput($("key-file"), file);
    $("key-text").value = bytes.length > longestKey ? "" : new TextDecoder().decode(bytes).trim();
    if (bytes.length > longestKey) throw new Error(file.name + " is longer than a key");
  }

  async function isKey(file) {
    if (file.size > longestKey) return false;
    return /^\s*[^\s+{]+\+[0-9a-fA-F]{8}\+\S+\s*$/.test(new TextDecoder().decode(await read(file, longestKey)));
  }

  async function take(files, how) {
    try {
      let receipts = 0;
      for (const file of files) {
        const as = how ?? ((await isKey(file)) ? takeKey : takeReceipt);
        if (as === takeReceipt && ++receipts > 1) throw new Error("give one receipt at a time");
        await as(file);
      }
    } catch (problem) {
      ++latest;
      return show("maybe", "Cannot be checked", "Reading the file: " + problem.message);
    }
    await verify(false);
  }

  $("form").addEventListener("submit", (e) => { e.preventDefault(); verify(true); });
  $("form").addEventListener("reset", () => { ++latest; chosen(null); empty(); $("verify").disabled = false; });
  $("receipt-file").addEventListener("change", (e) => take(e.target.files, takeReceipt));
  $("key-file").addEventListener("change", (e) => take(e.target.files, takeKey));
  $("receipt-text").addEventListener("input", () => { inInput($("receipt-file"), null); chosen(null); verify(false); });
  $("key-text").addEventListener("input", () => { inInput($("key-file"), null); verify(false); });

  let depth = 0; // of dragenter: children enter and leave too
  const dragged = (by) => { depth = Math.max(0, depth + by); document.body.classList.toggle("over", depth > 0); };
  addEventListener("dragenter", (e) => { e.preventDefault(); dragged(1); });
  addEventListener("dragleave", () => dragged(-1));
  addEventListener("dragover", (e) => e.preventDefault());
  addEventListener("drop", (e) => {
    dragged(-depth);
    if (e.dataTransfer.files.length === 0) return; // text goes into its box
    e.preventDefault();
    take([...e.dataTransfer.files]);
  });

  document.documentElement.dataset.ready = "true";
})();
