package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeFields are the conversions of strftime, as Envoy has them, whose value
// Go's layouts can say.
var timeFields = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'y': "06", 'b': "Jan", 'h': "Jan", 'B': "January",
	'a': "Mon", 'A': "Monday", 'p': "PM", 'e': "_2", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'z': "-0700", 'Z': "UTC",
	'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// parseTime reads the argument of START_TIME: the conversions of strftime, %f
// and %1f to %9f for the fraction of a second, %s and %1s to %9s for the time
// since 1970 in seconds, with as many digits more, %E3S and the like for
// seconds with a fraction.
func parseTime(s string) (timeLayout, error) {
	var parts []timeLayout
	text := func(t string) { parts = append(parts, func(time.Time) string { return t }) }
	for len(s) > 0 {
		at := strings.IndexByte(s, '%')
		if at != 0 {
			if at < 0 {
				at = len(s)
			}
			text(s[:at])
			s = s[at:]
			continue
		}
		layout, size, err := timeField(s)
		if err != nil {
			return nil, err
		}
		parts = append(parts, layout)
		s = s[size:]
	}
	return func(t time.Time) string {
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(p(t))
		}
		return b.String()
	}, nil
}

// timeField reads the conversion that s begins with.
func timeField(s string) (l timeLayout, size int, err error) {
	digits, at := 0, 1
	seconds := false // of %E3S
	if len(s) > 2 && s[1] == 'E' && s[2] >= '1' && s[2] <= '9' {
		seconds, at = true, 2
	}
	if at < len(s) && s[at] >= '1' && s[at] <= '9' {
		digits = int(s[at] - '0')
		at++
	}
	if at >= len(s) {
		return nil, 0, fmt.Errorf("%q is cut off", s)
	}
	verb := s[at]
	size = at + 1
	switch {
	case seconds && verb == 'S':
		return func(t time.Time) string { return t.Format("05") + "." + fraction(t, digits) }, size, nil
	case seconds:
	case verb == 'f':
		if digits == 0 {
			digits = 9
		}
		return func(t time.Time) string { return fraction(t, digits) }, size, nil
	case verb == 's':
		return func(t time.Time) string {
			out := strconv.FormatInt(t.Unix(), 10)
			if digits > 0 {
				out += fraction(t, digits)
			}
			return out
		}, size, nil
	case digits > 0:
	case verb == '%':
		return func(time.Time) string { return "%" }, size, nil
	case timeFields[verb] != "":
		layout := timeFields[verb]
		return func(t time.Time) string { return t.Format(layout) }, size, nil
	}
	return nil, 0, fmt.Errorf("%q is no part of a time that meshc writes", s[:size])
}

// fraction is the first digits of the fraction of t's second.
func fraction(t time.Time, digits int) string {
	return fmt.Sprintf("%09d", t.Nanosecond())[:digits]
}
