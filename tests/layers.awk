# layers.awk - includes against common/layers.txt
#
# usage: awk -f tests/layers.awk common/layers.txt FILE...
# Prints one line for every include that goes against an arrow and exits 1.

# "common/nn/plan.c" -> "nn", "sim/main.c" -> "sim", elsewhere "".
function folder_of(path,    parts, n) {
    n = split(path, parts, "/")
    if (n == 3 && parts[1] == "common") return parts[2]
    return n == 2 && parts[1] in uses ? parts[1] : ""
}

# A place is a file, "folder/" or "folder/start*".
function at_place(path, place) {
    if (place ~ /[\/]$/) return index(path, place) == 1
    if (place ~ /\*$/) return index(path, substr(place, 1, length(place) - 1)) == 1
    return path == place
}

function complain(why) {
    printf "%s:%d: %s\n", FILENAME, FNR, why
    n_wrong++
}

FILENAME ~ /layers\.txt$/ {
    sub(/#.*/, "")
    if ($1 == "library") {
        sub(/:$/, "", $2)
        for (i = 3; i <= NF; i++) places[$2] = places[$2] " " $i
    } else if (NF > 0) {
        sub(/:$/, "", $1)
        uses[$1] = " " $1 " "
        for (i = 2; i <= NF; i++) uses[$1] = uses[$1] $i " "
    }
    next
}

/^[ \t]*#[ \t]*include/ {
    name = $0
    sub(/^[^"<]*["<]/, "", name)
    sub(/[">].*/, "", name)
    from = folder_of(FILENAME)
    split(name, parts, "/")
    if (from != "" && parts[1] in uses && index(uses[from], " " parts[1] " ") == 0) {
        complain(from " may not include " name)
    }
    if (from != "" && name in places) {
        allowed = 0
        n = split(places[name], where, " ")
        for (i = 1; i <= n; i++) allowed = allowed || at_place(FILENAME, where[i])
        if (!allowed) complain(name " belongs in" places[name])
    }
}

END { exit n_wrong > 0 }
