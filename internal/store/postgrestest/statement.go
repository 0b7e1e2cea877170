package postgrestest

import "strings"

// split divides SQL into its statements, without those that are empty. It knows
// strings, names, comments to the end of a line, and $$ quotes.
func split(query string) (list []string) {
	from := 0
	empty := true
	for i := 0; i < len(query); i++ {
		rest := query[i:]
		end := ""
		switch {
		case query[i] == ';':
			if !empty {
				list = append(list, strings.TrimSpace(query[from:i]))
			}
			from, empty = i+1, true
			continue
		case strings.HasPrefix(rest, "--"):
			end = "\n"
			if empty {
				// A comment before a statement is not a part of it.
				if n := strings.Index(rest, end); n >= 0 {
					i += n
				} else {
					i = len(query)
				}
				from = min(i+1, len(query))
				continue
			}
		case query[i] == '\'', query[i] == '"':
			end = query[i : i+1]
		case strings.HasPrefix(rest, "$$"):
			end = "$$"
		}
		if end != "" {
			n := strings.Index(rest[len(end):], end)
			if n < 0 {
				break
			}
			i += len(end) + n + len(end) - 1
		}
		empty = empty && strings.TrimSpace(query[i:i+1]) == ""
	}
	if !empty {
		list = append(list, strings.TrimSpace(query[from:]))
	}
	return list
}

// rate is how often a statement within a transaction is to be begun again.
func rate(faults *Faults, words string) int {
	for _, reads := range []string{"SELECT", "DECLARE", "FETCH"} {
		if strings.HasPrefix(words, reads) {
			return faults.Read
		}
	}
	if strings.HasPrefix(words, "CLOSE") || strings.HasPrefix(words, "SAVEPOINT") {
		return 0
	}
	return faults.Write
}

func changesSchema(words string) bool {
	for _, w := range []string{"CREATE ", "ALTER ", "DROP ", "TRUNCATE ", "COMMENT ON "} {
		if strings.HasPrefix(words, w) {
			return true
		}
	}
	return false
}
