package main

import "strings"

// guess returns the name that the user probably meant, or "" if no name is similar enough to what was typed.
func guess(typed string, names []string) string {
	typed = strings.ToLower(typed)
	best, least := "", 0
	for _, name := range names {
		d := distance(typed, name)
		if strings.HasPrefix(name, typed) && len(typed) > 1 {
			d = 1 // the beginning of the name
		}
		if d <= 2 && d < min(len(name), len(typed)) && (best == "" || d < least) {
			best, least = name, d
		}
	}
	return best
}

// distance returns how many letters must be added, removed, replaced, or swapped with the next letter, to turn a into
// b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
