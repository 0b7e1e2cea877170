package events

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Clock reads RFC 3339 times. It remembers the last date, because most times of
// a submission have the same date.
type Clock struct {
	date [10]byte
	days int64
}

// Parse returns nanoseconds since 1970 UTC of an RFC 3339 date-time, with 'Z'
// or an offset of hours and minutes; both letters may be lower-case (section
// 5.6), and decimals after the ninth are allowed if they are zeros. It refuses
// leap seconds, the hour 24, and instants outside 1970 to 2262 (the range of 63
// bits).
func (c *Clock) Parse(b []byte) (ns int64, ok bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[10]|0x20 != 't' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	if [10]byte(b) != c.date || b[0] == 0 { // If no date is remembered yet, a date of NUL bytes must not match.
		days, ok := parseDate(b)
		if !ok {
			return 0, false
		}
		c.date, c.days = [10]byte(b), days
	}
	hour, minute, second := twoDigits(b[11:]), twoDigits(b[14:]), twoDigits(b[17:])
	if hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	seconds := c.days*86_400 + int64(hour*3600+minute*60+second)
	b = b[19:]
	fraction := int64(0)
	if b[0] == '.' {
		b = b[1:]
		digits := 0
		for digits < len(b) && b[digits]-'0' <= 9 {
			switch {
			case digits < 9:
				fraction = fraction*10 + int64(b[digits]-'0')
			case b[digits] != '0':
				return 0, false // Parts of a nanosecond are refused.
			}
			digits++
		}
		if digits == 0 {
			return 0, false
		}
		fraction *= nanoPowers[min(digits, 9)]
		b = b[digits:]
	}
	switch {
	case len(b) == 1 && b[0]|0x20 == 'z':
	case len(b) == len("+01:00") && (b[0] == '+' || b[0] == '-') && b[3] == ':':
		hour, minute := twoDigits(b[1:]), twoDigits(b[4:])
		if hour > 23 || minute > 59 {
			return 0, false
		}
		offset := int64(hour*3600 + minute*60)
		if b[0] == '-' {
			offset = -offset
		}
		seconds -= offset
	default:
		return 0, false
	}
	const last = math.MaxInt64 / 1_000_000_000
	if seconds < 0 || seconds > last || seconds == last && fraction > math.MaxInt64%1_000_000_000 {
		return 0, false
	}
	return seconds*1_000_000_000 + fraction, true
}

// ParseTime reads a time from a person or a file: RFC 3339 as in usage events,
// see [Clock.Parse]. The result is in UTC, from 1970 to 2262. The error says
// what is wrong with the spelling.
func ParseTime(s string) (time.Time, error) {
	var c Clock
	if ns, ok := c.Parse([]byte(s)); ok {
		return time.Unix(0, ns).UTC(), nil
	}
	const form = "is not a time such as 2023-01-01T00:00:00Z"
	shown := Clip(s)
	if len(s) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, fmt.Errorf("%q %s", shown, form)
	}
	upper := strings.ToUpper(s)
	switch _, err := time.Parse(time.RFC3339Nano, upper); {
	case strings.Contains(s, ","):
	case err == nil && strings.Contains(upper, ".") && digitsBeyond(upper):
		return time.Time{}, fmt.Errorf("%q has a part of a nanosecond: at most 9 decimals, or zeros after them", shown)
	case err == nil:
		return time.Time{}, fmt.Errorf("%q is not between 1970 and 2262-04-11", shown)
	case s[17:19] == "60":
		return time.Time{}, fmt.Errorf("%q has the second 60: leap seconds are not known here, write the second 59", shown)
	case s[11:13] == "24":
		return time.Time{}, fmt.Errorf("%q has the hour 24: write 00:00 of the day after", shown)
	}
	return time.Time{}, fmt.Errorf("%q %s", shown, form)
}

// digitsBeyond reports whether a decimal after the ninth is not zero.
func digitsBeyond(s string) bool {
	_, fraction, _ := strings.Cut(s, ".")
	for i := 9; i < len(fraction) && fraction[i]-'0' <= 9; i++ {
		if fraction[i] != '0' {
			return true
		}
	}
	return false
}

var nanoPowers = [10]int64{1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1}

// parseDate returns the days from 1970-01-01 to the date in ten bytes.
func parseDate(b []byte) (days int64, ok bool) {
	century, year, month, day := twoDigits(b), twoDigits(b[2:]), twoDigits(b[5:]), twoDigits(b[8:])
	if b[4] != '-' || b[7] != '-' || century > 99 || year > 99 || month-1 > 11 || day-1 > 30 {
		return 0, false
	}
	y := int64(century*100 + year)
	if day > monthDays[month-1] && !(month == 2 && day == 29 && y%4 == 0 && (y%100 != 0 || y%400 == 0)) {
		return 0, false
	}
	// With years that begin in March, the leap day is the last day: Hinnant,
	// "chrono-compatible low-level date algorithms", days_from_civil.
	m := int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	era := (y + 400) / 400 // January 0000 belongs to year -1, which is in the era before.
	y -= (era - 1) * 400
	return (era-1)*146_097 + y*365 + y/4 - y/100 + (153*(m-3)+2)/5 + int64(day) - 1 - 719_468, true
}

var monthDays = [12]uint32{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// twoDigits returns the number that two digits spell, or more than 99 if they
// are not digits.
func twoDigits(b []byte) uint32 {
	tens, units := uint32(b[0]-'0'), uint32(b[1]-'0')
	if tens > 9 || units > 9 {
		return 1000
	}
	return tens*10 + units
}

// AppendTime appends a time as RFC 3339 in UTC, with as many decimals as
// needed.
func AppendTime(dst []byte, ns int64) []byte {
	seconds, fraction := ns/1_000_000_000, ns%1_000_000_000
	days, rest := seconds/86_400, seconds%86_400
	z := days + 719_468
	era := z / 146_097
	dayOfEra := z - era*146_097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36_524 - dayOfEra/146_096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	day, month, year := dayOfYear-(153*shifted+2)/5+1, shifted+3, yearOfEra+era*400
	if month > 12 {
		month -= 12
		year++
	}
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), month)
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), rest/3600)
	dst = appendTwo(append(dst, ':'), rest/60%60)
	dst = appendTwo(append(dst, ':'), rest%60)
	if fraction > 0 {
		dst = append(dst, '.')
		for scale := int64(100_000_000); fraction > 0; scale /= 10 {
			dst = append(dst, byte('0'+fraction/scale))
			fraction %= scale
		}
	}
	return append(dst, 'Z')
}

func appendTwo(dst []byte, v int64) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}
