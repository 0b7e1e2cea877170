package main

import (
	"strings"
	"testing"
)

func TestTheNameOfAReportSaysWhatItIs(t *testing.T) {
	for _, test := range []struct {
		output, format string
		json           bool
		want, refused  string
	}{
		{"-", "", false, "csv", ""},
		{"-", "parquet", false, "parquet", ""},
		{"-", "", true, "json", ""},
		{"journal", "", false, "csv", ""},
		{"journal.txt", "", false, "csv", ""},
		{"journal.parquet", "", false, "parquet", ""},
		{"journal.JSON", "", false, "json", ""},
		{"journal.report", "csv", false, "csv", ""},
		{"journal.xlsx", "", false, "", "not as .xlsx"},
		{"journal.XLSX", "", false, "", "not as .xlsx"},
		{"journal.ods", "csv", false, "", "end the name with .csv"},
		{"journal.xls", "", true, "", "end the name with .json"},
		{"journal.pdf", "", false, "", "not as .pdf"},
		{"journal.csv", "parquet", false, "", "is not parquet"},
		{"journal.csv", "", true, "", "is not json"},
		{"-", "csv", true, "", "--json and --format csv"},
	} {
		c := exportCommand{Report: "journal", Output: test.output, Format: test.format}
		got, err := c.format(test.json)
		if string(got) != test.want || (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("-o %s --format %q --json=%t: %q, %v", test.output, test.format, test.json, got, err)
		}
	}
}
