package yamlx

import "strings"

// maxSuggestRunes bounds the words that Suggest compares: its work grows with
// the product of their lengths, and a longer word is no typing mistake.
const maxSuggestRunes = 64

// Suggest returns the known word that was probably meant by word, or "" if none
// is near: one typing mistake in three characters is near.
func Suggest(word string, known []string) string {
	length := len([]rune(word))
	if length > maxSuggestRunes {
		return ""
	}
	best, nearest := "", max(1, length/3)+1
	for _, candidate := range known {
		if strings.EqualFold(candidate, word) {
			return candidate
		}
		if d := distance(word, candidate); d < nearest && d < len([]rune(candidate)) {
			best, nearest = candidate, d
		}
	}
	return best
}

// didYouMean returns the sentence for a hint, or "".
func didYouMean(word string, known []string) string {
	if near := Suggest(word, known); near != "" {
		return `did you mean "` + near + `"?`
	}
	return ""
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(y) > maxSuggestRunes {
		return maxSuggestRunes
	}
	before, last := []int(nil), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
