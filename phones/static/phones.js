// Shows what is new, without anybody having to load the page again.
const shown = document.getElementById("phones");

async function refresh() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("phones");
    if (answer.ok && fresh && fresh.innerHTML !== shown.innerHTML) {
      shown.replaceChildren(...fresh.childNodes);
    }
  } finally {
    setTimeout(refresh, 2000);
  }
}

setTimeout(refresh, 2000);
