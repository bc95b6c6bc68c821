#include "devices/display/web/page.h"

#include <array>

namespace vireo::display {

namespace {

constexpr std::string_view kHtml = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>vireo</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="vireo.css">
<script type="module" src="vireo.js"></script>
</head>
<body>
<header>
<span id="name">vireo</span>
<span id="state" role="status">connecting</span>
<form id="login" hidden>
<input id="password" type="password" maxlength="8" placeholder="password" autocomplete="current-password">
<button>Connect</button>
</form>
<span class="keys">
<button id="reconnect" hidden>Connect again</button>
<button id="ctrl-alt-del" disabled>Ctrl-Alt-Del</button>
<button id="power" hidden>Power</button>
</span>
</header>
<main id="screen"></main>
</body>
</html>
)";

constexpr std::string_view kCss = R"(html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: #1c1f24; color: #d8dce2;
  font: 14px system-ui, sans-serif; }
header { display: flex; align-items: center; gap: 12px; padding: 6px 12px; background: #2a2f37; }
#name { font-weight: 600; }
#state::before { content: "\25cf\a0"; color: #d0a030; }
#state.connected::before { color: #40b060; }
#state.disconnected::before { color: #c04040; }
.keys { margin-left: auto; display: flex; gap: 8px; }
button, input { font: inherit; color: inherit; background: #3a414c; border: 1px solid #4c5563;
  border-radius: 4px; padding: 3px 10px; }
button:disabled { opacity: .5; }
main { flex: 1; min-height: 0; }
)";

constexpr std::string_view kScript = R"(import RFB from "./novnc/core/rfb.js";

const at = (id) => document.getElementById(id);
// Beside this script, wherever a proxy has put that.
const socket = new URL("websocket", import.meta.url);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
let rfb;

function show(state, text) {
  at("state").className = state;
  at("state").textContent = text ?? state;
  at("ctrl-alt-del").disabled = state !== "connected";
  at("reconnect").hidden = state !== "disconnected";
  if (state !== "connected") at("power").hidden = true;
}

function connect() {
  show("connecting");
  rfb = new RFB(at("screen"), socket.href, { wsProtocols: ["binary"] });
  rfb.scaleViewport = true;
  rfb.background = "#1c1f24";
  let refusal;
  rfb.addEventListener("connect", () => { show("connected"); rfb.focus(); });
  rfb.addEventListener("disconnect", (event) => {
    at("login").hidden = true;
    show("disconnected", refusal ?? (event.detail.clean ? "disconnected" : "connection lost"));
  });
  rfb.addEventListener("securityfailure", (event) => { refusal = event.detail.reason ?? "refused"; });
  rfb.addEventListener("credentialsrequired", () => {
    show("connecting", "a password is asked for");
    at("login").hidden = false;
    at("password").focus();
  });
  rfb.addEventListener("desktopname", (event) => {
    at("name").textContent = document.title = event.detail.name;
  });
  rfb.addEventListener("capabilities", (event) => {
    at("power").hidden = !event.detail.capabilities.power;
  });
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  at("login").hidden = true;
  rfb.sendCredentials({ password: at("password").value });
  at("password").value = "";
});
at("ctrl-alt-del").addEventListener("click", () => { rfb.sendCtrlAltDel(); rfb.focus(); });
at("power").addEventListener("click", () => { rfb.machineShutdown(); rfb.focus(); });
at("reconnect").addEventListener("click", connect);
connect();
)";

struct Entry {
  std::string_view path;
  PageFile file;
};
constexpr std::array kFiles = std::to_array<Entry>({{"/", {"index.html", kHtml}},
                                                    {"/vireo.css", {"vireo.css", kCss}},
                                                    {"/vireo.js", {"vireo.js", kScript}}});

}  // namespace

std::optional<PageFile> page_file(std::string_view path) noexcept {
  for (const Entry& entry : kFiles)
    if (entry.path == path) return entry.file;
  return std::nullopt;
}

}  // namespace vireo::display
