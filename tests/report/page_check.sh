#!/bin/bash
# page_check.sh - opens pages as a reader would and complains
#
# usage: tests/report/page_check.sh [--expect TEXT]... PAGE.html...
#
# Each page is opened in headless Chromium at the width of a phone.  It fails
# on a message in the console, on a request for anything but the page itself,
# when the body is wider than the phone, and when the rendered text lacks what
# every page must say, lacks a TEXT, or holds what no reader should see.
# Prints a line of TAP a page; `skipped` where there is no Chromium.
set -u

always=('Research use. Not a medical device.' 'Intended use:' 'Privacy.')
french=('N’est pas un dispositif médical.' 'Usage prévu' 'Confidentialité.')
never=('(null)' '[nan,' ' nan]' '%s' '[object')

expect=()
while [ "${1:-}" = --expect ]; do
    expect+=("$2")
    shift 2
done
if [ $# = 0 ]; then
    echo "usage: ${0##*/} [--expect TEXT]... PAGE.html..." >&2
    exit 2
fi
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$browser" ]; then
    echo "skipped - pages open in a browser: chromium is not installed"
    exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/consilium-pages.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

# Leaves the page's tree in $work/dom, and its text, without tags, in $work/text.
open_page()
{
    local page=$1
    timeout -k 5 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" \
        --disable-background-networking --disable-component-update --disable-sync --no-first-run \
        --host-resolver-rules='MAP * ~NOTFOUND' --enable-logging=stderr \
        --log-net-log="$work/net.json" --dump-dom "file://$page" >"$work/dom" 2>"$work/stderr"
    sed -e 's/<style>/\n<style>\n/; s/<\/style>/\n<\/style>\n/' "$work/dom" |
        sed -e '/<style>/,/<\/style>/d' -e 's/<[^>]*>/ /g' \
            -e 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&#39;/'"'"'/g; s/&amp;/\&/g' |
        tr -s ' \n' ' ' >"$work/text"
}

# Lines "PAGE WIDTH": how wide each page is when its window has 390 pixels (a
# window cannot be so narrow, a frame can).
measure_widths()
{
    local page
    {
        echo '<!doctype html><body>'
        for page in "$@"; do
            echo "<iframe width=390 height=800 src=\"file://$(realpath "$page")\" title=\"$page\"></iframe>"
        done
        cat <<'HTML'
<script>
onload = () => {
    const lines = [...document.querySelectorAll("iframe")].map(f =>
        f.title + " " + f.contentDocument.documentElement.scrollWidth);
    document.body.innerHTML = "<pre>\n\n" + lines.join("\n") + "\n</pre>";
};
</script>
HTML
    } >"$work/frames.html"
    timeout -k 5 90 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" \
        --disable-background-networking --disable-component-update --allow-file-access-from-files \
        --window-size=800,900 --dump-dom "file://$work/frames.html" >"$work/widths" 2>/dev/null
}

complain()
{
    [ "$good" = 0 ] || echo "not ok - $page"
    good=0
    printf '#   %s\n' "$1"
}

measure_widths "$@"
for page in "$@"; do
    good=1
    if [ ! -s "$page" ]; then
        complain "no such page, or empty"
        failures=$((failures + 1))
        continue
    fi
    open_page "$(realpath "$page")"
    [ -s "$work/dom" ] || complain "the browser showed nothing: $(tail -c 300 "$work/stderr")"
    while IFS= read -r line; do
        complain "console: $line"
    done < <(grep -a 'CONSOLE' "$work/stderr" | sed 's/.*CONSOLE[^]]*\] //')
    while IFS= read -r url; do
        complain "asked for $url"
    done < <(grep -a '"network_isolation_key":"file:' "$work/net.json" |
        grep -ao '"url":"[^"]*"' | grep -v "\"url\":\"\(file\|data\):" | sort -u)
    said=("${always[@]}")
    ! grep -q '<html lang="fr">' "$page" || said=("${french[@]}")
    for text in "${said[@]}" "${expect[@]}"; do
        grep -qF -- "$text" "$work/text" || complain "does not say: $text"
    done
    for text in "${never[@]}"; do
        ! grep -qF -- "$text" "$work/text" || complain "shows: $text"
    done
    width=$(awk -v page="$page" '$0 ~ / [0-9]+$/ { w = $NF; sub(/ [0-9]+$/, ""); if ($0 == page) print w }' \
        "$work/widths")
    [ "${width:-0}" -le 390 ] || complain "is $width pixels wide on a phone of 390"
    [ -n "$width" ] || complain "its width on a phone could not be measured"
    if [ "$good" = 1 ]; then
        echo "ok - $page"
    else
        failures=$((failures + 1))
    fi
done
[ "$failures" = 0 ]
