/*
 * checklists.c - which items of reporting guidelines a hospital's page answers, and where
 *
 * CLAIM 2024 (Tejani et al., Radiology: Artificial Intelligence 2024), TRIPOD+AI
 * (Collins et al., BMJ 2024) and STARD-AI (Sounderajah et al., Nature Medicine
 * 2025), with their numbers and titles of ours, as short as a table needs.
 * An item counts as answered only when its section is on the very page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/html.h"
#include "report/parts.h"
#include "report/read.h"
#include "report/site_parts.h"

/* where: ids of sections, with spaces between; "+" in front of one that needs
 * the hospital's reference standard, "^" of one that needs a model trained without the hospital,
 * "=" in front of a message that is the answer;
 * NULL: nothing a page could know. */
typedef struct {
    const char *number, *title, *where;
} item;

static const char by_patient[] = "=" REPORT_N("by patient: a patient in two splits is refused");

static const item claim[] = {
    {"1", REPORT_N("Kind of AI technology"), "model"},
    {"2", REPORT_N("Structured summary"), "verdict"},
    {"3", REPORT_N("Background, intended use and role"), "use"},
    {"4", REPORT_N("Aims and hypotheses"), NULL},
    {"5", REPORT_N("Prospective or retrospective"), NULL},
    {"6", REPORT_N("Study goal"), NULL},
    {"7", REPORT_N("Data sources"), NULL},
    {"8", REPORT_N("Inclusion and exclusion criteria"), NULL},
    {"9", REPORT_N("Data preprocessing"), NULL},
    {"10", REPORT_N("Selection of data subsets"), "flow"},
    {"11", REPORT_N("De-identification"), NULL},
    {"12", REPORT_N("Missing data"), "flow problems"},
    {"13", REPORT_N("Image acquisition protocol"), NULL},
    {"14", REPORT_N("Definition of the reference standard"), "+flow"},
    {"15", REPORT_N("Rationale for the reference standard"), NULL},
    {"16", REPORT_N("Source of the annotations"), NULL},
    {"17", REPORT_N("Annotation of the test set"), NULL},
    {"18", REPORT_N("Variability between annotators"), "annotators"},
    {"19", REPORT_N("Assignment to partitions"), "table1"},
    {"20", REPORT_N("Level at which partitions are disjoint"), by_patient},
    {"21", REPORT_N("Intended sample size"), NULL},
    {"22", REPORT_N("Description of the model"), "model"},
    {"23", REPORT_N("Software"), "model"},
    {"24", REPORT_N("Initialisation of the parameters"), "model"},
    {"25", REPORT_N("Training approach"), "model"},
    {"26", REPORT_N("Selection of the final model"), "selection"},
    {"27", REPORT_N("Ensembling"), "ensemble snapshot"},
    {"28", REPORT_N("Performance metrics"), "figures"},
    {"29", REPORT_N("Significance and uncertainty"), "figures rules"},
    {"30", REPORT_N("Robustness or sensitivity analysis"), "shift unseen"},
    {"31", REPORT_N("Explainability, and how it was validated"), "explanations"},
    {"32", REPORT_N("Evaluation on internal data"), "figures"},
    {"33", REPORT_N("Testing on external data"), "^figures"},
    {"34", REPORT_N("Registration"), NULL},
    {"35", REPORT_N("Numbers included and excluded"), "flow"},
    {"36", REPORT_N("Characteristics of the cases by partition"), "table1"},
    {"37", REPORT_N("Performance and its uncertainty"), "figures classes"},
    {"38", REPORT_N("Diagnostic performance and its precision"), "threshold figures"},
    {"39", REPORT_N("Failure analysis"), "unseen sure"},
    {"40", REPORT_N("Limitations"), NULL},
    {"41", REPORT_N("Implications for practice"), "use verdict"},
    {"42", REPORT_N("Full protocol"), NULL},
    {"43", REPORT_N("Availability of software, model and data"), NULL},
    {"44", REPORT_N("Funding"), NULL},
};

static const item tripod[] = {
    {"1", REPORT_N("Title"), NULL},
    {"2", REPORT_N("Structured summary"), "verdict"},
    {"3a", REPORT_N("Healthcare context"), NULL},
    {"3b", REPORT_N("Target population and purpose"), "use"},
    {"3c", REPORT_N("Health inequalities"), NULL},
    {"4", REPORT_N("Aims and hypotheses"), NULL},
    {"5a", REPORT_N("Data sources"), NULL},
    {"5b", REPORT_N("Dates of the data"), NULL},
    {"6a", REPORT_N("Setting"), NULL},
    {"6b", REPORT_N("Inclusion and exclusion criteria"), NULL},
    {"6c", REPORT_N("Treatments received"), NULL},
    {"7", REPORT_N("Data preparation and quality checks"), "problems"},
    {"8a", REPORT_N("Definition of the outcome"), "+flow"},
    {"8b", REPORT_N("Who assessed the outcome"), NULL},
    {"8c", REPORT_N("Blinding of the outcome's assessment"), NULL},
    {"9a", REPORT_N("Choice of predictors"), NULL},
    {"9b", REPORT_N("Definition of predictors"), NULL},
    {"9c", REPORT_N("Who assessed the predictors"), NULL},
    {"10", REPORT_N("Intended sample size"), NULL},
    {"11", REPORT_N("Missing data"), "flow problems"},
    {"12a", REPORT_N("How the data were used"), "selection table1"},
    {"12b", REPORT_N("Handling of predictors"), NULL},
    {"12c", REPORT_N("Type and building of the model"), "model selection"},
    {"12d", REPORT_N("Heterogeneity between centres: how measured"), "others elsewhere"},
    {"12e", REPORT_N("Performance metrics"), "figures calibration"},
    {"12f", REPORT_N("Updating of the model: how"), "personal"},
    {"12g", REPORT_N("How predictions were calculated"), "selection"},
    {"13", REPORT_N("Class imbalance"), NULL},
    {"14", REPORT_N("Fairness"), "subgroups"},
    {"15", REPORT_N("Output of the model"), "threshold calibration"},
    {"16", REPORT_N("Training and evaluation data compared"), "table1"},
    {"17", REPORT_N("Ethical approval"), NULL},
    {"18a", REPORT_N("Funding"), NULL},
    {"18b", REPORT_N("Conflicts of interest"), NULL},
    {"18c", REPORT_N("Full protocol"), NULL},
    {"18d", REPORT_N("Registration"), NULL},
    {"18e", REPORT_N("Availability of the data"), NULL},
    {"18f", REPORT_N("Availability of the code"), NULL},
    {"19", REPORT_N("Involvement of patients and public"), NULL},
    {"20a", REPORT_N("Flow of participants"), "flow"},
    {"20b", REPORT_N("Characteristics of the participants"), "table1"},
    {"20c", REPORT_N("Comparison with the development data"), "table1"},
    {"21", REPORT_N("Participants and events in each analysis"), "table1"},
    {"22", REPORT_N("Full specification of the model"), "model"},
    {"23a", REPORT_N("Performance with intervals, by subgroup too"), "figures subgroups"},
    {"23b", REPORT_N("Heterogeneity between centres: results"), "others elsewhere"},
    {"24", REPORT_N("Updating of the model: results"), "personal"},
    {"25", REPORT_N("Interpretation, with fairness"), "verdict"},
    {"26", REPORT_N("Limitations"), NULL},
    {"27a", REPORT_N("Use with poor or missing input"), NULL},
    {"27b", REPORT_N("Who interacts with the model"), NULL},
    {"27c", REPORT_N("Next steps"), NULL},
};

static const item stard[] = {
    {"1", REPORT_N("Identification as a study of AI accuracy"), "figures"},
    {"2", REPORT_N("Structured summary"), "verdict"},
    {"3", REPORT_N("Background, intended use and role"), "use"},
    {"4", REPORT_N("Aims and hypotheses"), NULL},
    {"5", REPORT_N("Prospective or retrospective"), NULL},
    {"6", REPORT_N("Ethical approval"), NULL},
    {"7", REPORT_N("Inclusion and exclusion criteria"), NULL},
    {"8", REPORT_N("How participants were identified"), NULL},
    {"9", REPORT_N("Where and when participants were identified"), NULL},
    {"10", REPORT_N("Consecutive, random or convenience series"), NULL},
    {"11", REPORT_N("Data sources"), NULL},
    {"12", REPORT_N("Who annotated, and how"), NULL},
    {"13", REPORT_N("Devices and software of data capture"), NULL},
    {"14", REPORT_N("Acquisition and preprocessing"), NULL},
    {"15a", REPORT_N("The index test, to be repeated"), "model"},
    {"15b", REPORT_N("Development of the index test"), "selection table1"},
    {"15c", REPORT_N("Cut-offs of the index test"), "selection threshold"},
    {"15d", REPORT_N("End user and expertise"), NULL},
    {"16a", REPORT_N("Definition of the reference standard"), "+flow"},
    {"16b", REPORT_N("Rationale for the reference standard"), NULL},
    {"16c", REPORT_N("Cut-offs of the reference standard"), NULL},
    {"17a", REPORT_N("Blinding of the index test"), NULL},
    {"17b", REPORT_N("Blinding of the reference standard"), NULL},
    {"18", REPORT_N("Statistical methods"), "figures rules"},
    {"19", REPORT_N("Indeterminate results"), "sure"},
    {"20", REPORT_N("Missing data"), "flow problems"},
    {"21", REPORT_N("Analyses of variability"), "subgroups shift annotators"},
    {"22", REPORT_N("Intended sample size"), NULL},
    {"23", REPORT_N("Error, bias and fairness: how assessed"), "subgroups"},
    {"24", REPORT_N("Flow of participants"), "flow"},
    {"25", REPORT_N("Characteristics of the cases by partition"), "table1"},
    {"26a", REPORT_N("Severity of disease"), NULL},
    {"26b", REPORT_N("Alternative diagnoses"), NULL},
    {"27", REPORT_N("Time between index test and reference standard"), NULL},
    {"28", REPORT_N("Test set and intended population compared"), NULL},
    {"29", REPORT_N("How external data differ"), NULL},
    {"30", REPORT_N("Index test by reference standard, cross-tabulated"), "threshold"},
    {"31", REPORT_N("Diagnostic performance and its precision"), "figures"},
    {"32", REPORT_N("Adverse events"), NULL},
    {"33", REPORT_N("Limitations"), NULL},
    {"34", REPORT_N("Implications for practice"), "use verdict"},
    {"35", REPORT_N("Ethics and fairness"), NULL},
    {"36", REPORT_N("Registration"), NULL},
    {"37", REPORT_N("Full protocol"), NULL},
    {"38", REPORT_N("Funding"), NULL},
    {"39", REPORT_N("Commercial interests"), NULL},
    {"40a", REPORT_N("Availability of data and code"), NULL},
    {"40b", REPORT_N("Storage and audit of outputs"), NULL},
};

static const struct {
    const char *name;
    const item *items;
    size_t n;
} lists[] = {
    {"CLAIM 2024", claim, sizeof claim / sizeof claim[0]},
    {"TRIPOD+AI", tripod, sizeof tripod / sizeof tripod[0]},
    {"STARD-AI", stard, sizeof stard / sizeof stard[0]},
};

/* The heading of the page's section of that id, as it stands there; "" when the page
 * has none.  Caller's. */
static char *heading_of(const char *page, const char *id)
{
    char *mark = fl_xasprintf("id=\"%s\"", id);
    const char *at = strstr(page, mark), *from = at != NULL ? strstr(at, "<h2>") : NULL;
    size_t n = from != NULL ? strcspn(from + 4, "<") : 0;
    free(mark);
    return fl_xstrndup(from != NULL ? from + 4 : "", n);
}

static bool has_standard(const json_t *site)
{
    const char *standard = fl_json_get_string(site, "reference_standard", "not provided");
    return standard[0] != '\0' && strcmp(standard, "not provided") != 0;
}

/* A model to which this hospital's cases are external. */
static bool has_outsider(const json_t *report, const json_t *site)
{
    return report_at(report, "baselines", "leave_one_out", "sites", report_site_name(site), NULL) !=
           NULL;
}

/* Links to the sections that answer an item; how many. */
static size_t add_links(report_page *out, const char *page, const json_t *report,
                        const json_t *site, const char *where)
{
    size_t n = 0;
    for (const char *p = where; *p != '\0';) {
        bool needs_standard = *p == '+', needs_outsider = *p == '^';
        p += needs_standard || needs_outsider;
        size_t length = strcspn(p, " ");
        char *id = fl_xstrndup(p, length), *heading = heading_of(page, id);
        if (strcmp(id, "use") == 0 && fl_json_get_string(report, "intended_use", "")[0] != '\0') {
            free(heading);
            heading = fl_xstrdup(report_word(out, "Intended use"));
        }
        if (heading[0] != '\0' && (!needs_standard || has_standard(site)) &&
            (!needs_outsider || has_outsider(report, site))) {
            report_html(out, "%s<a href=\"#%s\">", n++ > 0 ? "; " : "", id);
            fl_buf_puts(&out->text, heading);  // escaped when the section was written
            report_html(out, "</a>");
        }
        free(id);
        free(heading);
        p += length;
        p += *p == ' ';
    }
    return n;
}

/* Where the item is answered, if it is. */
static bool answer(report_page *out, const char *page, const json_t *report, const json_t *site,
                   const char *where)
{
    if (where == NULL) {
        return false;
    }
    if (where[0] == '=') {
        report_html(out, "%s", report_word(out, where + 1));
        return true;
    }
    return add_links(out, page, report, site, where) > 0;
}

static void add_list(report_page *out, const char *page, const json_t *report, const json_t *site,
                     size_t list)
{
    static const char *const columns[] = {REPORT_N("Item"), REPORT_N("What"),
                                          REPORT_N("Answered in"), NULL};
    report_page missing = REPORT_PAGE(out->language);
    report_html(out, "<h3>%s</h3>\n", lists[list].name);
    report_html_table(out, REPORT_NARROW, columns);
    for (size_t i = 0; i < lists[list].n; i++) {
        const item *one = &lists[list].items[i];
        report_page where = REPORT_PAGE(out->language);
        if (answer(&where, page, report, site, one->where)) {
            report_html(out, "<tr><td>%s</td><td class=\"text\">%s</td><td class=\"text\">",
                        one->number, report_word(out, one->title));
            fl_buf_add(&out->text, where.text.data, where.text.n);
            report_html(out, "</td></tr>\n");
        } else {
            report_html(&missing, "%s%s %s", missing.text.n > 0 ? "; " : "", one->number,
                        report_word(out, one->title));
        }
        report_page_clear(&where);
    }
    report_html_table_end(out);
    report_html(out, "<p class=\"note\"><b>");
    report_say(out, "Not provided by the hospital:");
    report_html(out, "</b> ");
    fl_buf_puts(&out->text, missing.text.n > 0 ? missing.text.data : "");
    report_html(out, ".</p>\n");
    report_page_clear(&missing);
}

void report_site_checklists(report_page *out, const json_t *report, const json_t *site)
{
    char *page = fl_xstrndup(out->text.data, out->text.n);
    report_html_section(out, "checklists", "Appendix: items of reporting guidelines");
    report_html(out, "<p>");
    report_say(out, "What this page holds for a report after CLAIM 2024, TRIPOD+AI or STARD-AI, by "
                    "their item numbers; titles are shortened. The rest only the hospital and the "
                    "study's authors can say.");
    report_html(out, "</p>\n");
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        add_list(out, page, report, site, l);
    }
    report_html_section_end(out);
    free(page);
}
