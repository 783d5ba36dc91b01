/*
 * phantom_mammography.c - a breast compressed between plates: density, mass, microcalcifications
 *
 * The picture is a projection (Beer-Lambert): fat is dark, glandular tissue bright,
 * and how much of the breast is gland is its density, a (fatty) to d (extremely
 * dense), less with age.  A mass is a bright patch with spicules, hidden where the
 * gland is dense; microcalcifications are a cluster of specks.  Everybody has
 * glandular islands, single specks and calcified vessels.
 * The chest wall is at the left, the nipple to the right.
 */
#include "sim/phantom_draw.h"

enum { MAX_SPECKS = 64, MAX_ISLANDS = 6, N_SPICULES = 14, N_DENSITIES = 4 };

typedef struct {
    double x, y, r, bright;
} speck;

typedef struct {
    double rx, ry, middle;      // outline: half an ellipse about (-1, middle)
    double muscle_x, muscle_y;  // pectoral triangle's sides
    double dense;               // share of gland
    draw_noise coarse, fine;
    draw_ellipse islands[MAX_ISLANDS];
    double island_bright[MAX_ISLANDS];
    int n_islands;
    speck specks[MAX_SPECKS];
    int n_specks;
    bool has_mass;
    draw_ellipse mass;
    double mass_bright, spicule[N_SPICULES], spicule_angle[N_SPICULES];
    double cluster_x, cluster_y, cluster_r;  // r 0: none
} breast;

/* 1 in the middle of the breast, 0 at the skin and outside. */
static double inside_at(const breast *b, double x, double y)
{
    return 1 - hypot((x + 1) / b->rx, (y - b->middle) / b->ry);
}

static bool is_muscle(const breast *b, double x, double y)
{
    return (x + 1) / b->muscle_x + (y + 1) / b->muscle_y < 1;
}

static void place(double *x, double *y, const breast *b, fl_rng *rng)
{
    do {
        *x = fl_rng_range(rng, -0.9, 0.8);
        *y = fl_rng_range(rng, -0.8, 0.8);
    } while (inside_at(b, *x, *y) < 0.22 || is_muscle(b, *x, *y));
}

static void add_speck(breast *b, double x, double y, double r, double bright)
{
    if (b->n_specks < MAX_SPECKS) {
        b->specks[b->n_specks++] = (speck){x, y, r, bright};
    }
}

/* What everybody may have. */
static void draw_decoys(breast *b, double age, fl_rng *rng)
{
    b->n_islands = (int)fl_rng_below(rng, MAX_ISLANDS + 1);
    for (int i = 0; i < b->n_islands; i++) {
        draw_ellipse *e = &b->islands[i];
        double angle = fl_rng_range(rng, 0, PHANTOM_PI);
        place(&e->x, &e->y, b, rng);
        e->rx = fl_rng_range(rng, 0.05, 0.12);
        e->ry = e->rx * fl_rng_range(rng, 0.4, 1);
        e->cos_t = cos(angle);
        e->sin_t = sin(angle);
        b->island_bright[i] = fl_rng_range(rng, 0.04, 0.15);
    }
    uint64_t single = fl_rng_poisson(rng, 2.5);
    for (uint64_t i = 0; i < single; i++) {
        double x, y;
        place(&x, &y, b, rng);
        add_speck(b, x, y, fl_rng_range(rng, 0.012, 0.030), fl_rng_range(rng, 0.15, 0.5));
    }
    if (fl_rng_uniform(rng) < (age - 45) / 80) {  // a calcified vessel
        double x, y, angle = fl_rng_range(rng, 0, 2 * PHANTOM_PI);
        place(&x, &y, b, rng);
        for (int i = 0; i < 14; i++) {
            angle += 0.15 * fl_rng_normal(rng);
            x += 0.035 * cos(angle);
            y += 0.035 * sin(angle);
            if (inside_at(b, x, y) > 0.05) {
                add_speck(b, x, y, 0.012, fl_rng_range(rng, 0.1, 0.3));
            }
        }
    }
}

static void draw_breast(breast *b, const phantom_patient *p, double dense, fl_rng *rng)
{
    b->rx = fmin(fl_rng_range(rng, 1.15, 1.6) * (0.6 + 0.4 * p->body_size), 1.9);
    b->ry = fl_rng_range(rng, 0.78, 0.93);
    b->middle = fl_rng_range(rng, -0.04, 0.08);
    b->muscle_x = fl_rng_range(rng, 0.35, 0.75);
    b->muscle_y = fl_rng_range(rng, 0.7, 1.3);
    b->dense = dense;
    draw_noise_init(&b->coarse, rng);
    draw_noise_init(&b->fine, rng);
    b->n_specks = 0;
    b->has_mass = false;
    b->cluster_r = 0;
    draw_decoys(b, p->age, rng);
}

static void add_mass(breast *b, double *conspicuity, double difficulty, fl_rng *rng)
{
    double radius = 0.20 - 0.10 * difficulty, r = radius * fl_rng_range(rng, 0.65, 1.3);
    double bright = 0.52 - 0.30 * difficulty, strength = bright * fl_rng_range(rng, 0.7, 1.4);
    double angle = fl_rng_range(rng, 0, PHANTOM_PI);
    b->has_mass = true;
    place(&b->mass.x, &b->mass.y, b, rng);
    b->mass.rx = r;
    b->mass.ry = r * fl_rng_range(rng, 0.7, 1);
    b->mass.cos_t = cos(angle);
    b->mass.sin_t = sin(angle);
    b->mass_bright = strength;
    for (int i = 0; i < N_SPICULES; i++) {
        b->spicule[i] = fl_rng_range(rng, 0.1, 1.1);
        b->spicule_angle[i] = 2 * PHANTOM_PI * (i + fl_rng_range(rng, -0.4, 0.4)) / N_SPICULES;
    }
    *conspicuity = fmin(
        fmax(0.5 * ((r / radius - 0.65) / 0.65 + (strength / bright - 0.7) / 0.7), 0), 1);
}

static void add_cluster(breast *b, double *conspicuity, double difficulty, fl_rng *rng)
{
    double most = 24 - 12 * difficulty;
    int n = (int)fl_rng_range(rng, 0.45 * most, most);
    double bright = 0.60 - 0.30 * difficulty;
    b->cluster_r = fl_rng_range(rng, 0.08, 0.17);
    place(&b->cluster_x, &b->cluster_y, b, rng);
    for (int i = 0; i < n; i++) {
        double angle = fl_rng_range(rng, 0, 2 * PHANTOM_PI),
               r = b->cluster_r * sqrt(fl_rng_uniform(rng));
        add_speck(b, b->cluster_x + r * cos(angle), b->cluster_y + r * sin(angle),
                  fl_rng_range(rng, 0.009, 0.017), bright * fl_rng_range(rng, 0.5, 1.4));
    }
    *conspicuity = fmin((n / most - 0.45) / 0.55, 1);
}

/* Radial bright lines that leave the mass. */
static double spicules_at(const breast *b, double r, double angle)
{
    double sum = 0;
    for (int i = 0; i < N_SPICULES; i++) {
        double away = angle - b->spicule_angle[i];
        away -= 2 * PHANTOM_PI * floor(away / (2 * PHANTOM_PI) + 0.5);
        double width = 0.09 / fmax(r, 0.6);
        sum += exp(-away * away / (2 * width * width)) * draw_smoothstep(1 + b->spicule[i], 0.8, r);
    }
    return fmin(sum, 1);
}

/* Share of the path that is gland, 0 to 1: strands that run to the nipple. */
static double gland_at(const breast *b, double x, double y)
{
    double nipple = b->rx - 1, dx = nipple - x, dy = b->middle - y;
    double angle = atan2(dy, dx), far = hypot(dx, dy);
    double strands = draw_fractal_at(&b->fine, 2.2 * far, 5 * angle, 1, 3);
    double clouds = draw_fractal_at(&b->coarse, x, y, 2.1, 3);
    double centre = draw_smoothstep(0.02, 0.40, inside_at(b, x, y)) *
                    draw_smoothstep(2.3, 0.7, far);
    double level = 0.55 * clouds + 0.45 * strands + 0.55 * centre;
    double threshold = 0.95 - 1.05 * b->dense;
    return draw_smoothstep(threshold - 0.28, threshold + 0.28, level) * centre;
}

/* Attenuation along the path; *mass and *gland: what of it is. */
static double path_at(const breast *b, double *mass, double *gland, double x, double y)
{
    double in = inside_at(b, x, y);
    *mass = *gland = 0;
    if (in <= 0) {
        return 0;
    }
    double thick = pow(fmin(in / 0.16, 1), 0.5);  // the rim is thinner
    *gland = gland_at(b, x, y);
    double sum = thick * (0.34 + 0.58 * *gland);
    sum += 0.02 * draw_fractal_at(&b->fine, x, y, 8, 2) + 0.05 * draw_smoothstep(0.035, 0.005, in);
    for (int i = 0; i < b->n_islands; i++) {
        sum += b->island_bright[i] *
               draw_smoothstep(1.3, 0.5, draw_ellipse_at(&b->islands[i], x, y));
    }
    double edge = (x + 1) / b->muscle_x + (y + 1) / b->muscle_y;
    sum += 0.45 * draw_smoothstep(1.03, 0.95, edge);
    if (b->has_mass) {
        double r = draw_ellipse_at(&b->mass, x, y);
        double body = draw_smoothstep(1.25, 0.65,
                                      r + 0.25 * draw_fractal_at(&b->coarse, x, y, 7, 2));
        double lines = r < 2.3 ? spicules_at(b, r, atan2(y - b->mass.y, x - b->mass.x)) : 0;
        *mass = body;
        sum += b->mass_bright * (body + 0.35 * lines * (1 - body)) * thick;
    }
    return sum;
}

static void add_specks(float *path, int64_t size, const breast *b)
{
    for (int s = 0; s < b->n_specks; s++) {
        const speck *k = &b->specks[s];
        double reach = 3 * k->r + 2.0 / (double)size, pixel = 1.0 / (double)size;
        double spread = sqrt(k->r * k->r + 0.33 * pixel * pixel);  // and the pixel's own width
        double weight = k->bright * k->r * k->r / (spread * spread);
        for (int64_t i = 0; i < size * size; i++) {
            double dx = draw_centre(i % size, size) - k->x, dy = draw_centre(i / size, size) - k->y;
            if (fabs(dx) < reach && fabs(dy) < reach) {
                path[i] += (float)(weight * exp(-(dx * dx + dy * dy) / (2 * spread * spread)));
            }
        }
    }
}

static bool in_cluster(const breast *b, double x, double y)
{
    return b->cluster_r > 0 && hypot(x - b->cluster_x, y - b->cluster_y) < b->cluster_r + 0.02;
}

/* outlined: the gland, else the mass or the cluster. */
static void expose(phantom_case *out, const breast *b, bool outline_gland, fl_rng *rng)
{
    int64_t size = out->size;
    for (int64_t i = 0; i < size * size; i++) {
        double x = draw_centre(i % size, size), y = draw_centre(i / size, size), mass, gland;
        out->image[i] = (float)path_at(b, &mass, &gland, x, y);
        if (out->mask != NULL) {
            bool is = outline_gland ? gland > 0.5 : mass > 0.5 || in_cluster(b, x, y);
            out->mask[i] = is ? 1.0f : 0.0f;
        }
    }
    add_specks(out->image, size, b);
    for (int64_t i = 0; i < size * size; i++) {
        double seen = 1.15 * (1 - exp(-1.5 * fmax((double)out->image[i], 0)));
        out->image[i] = draw_unit(seen + 0.006 * fl_rng_normal(rng));
    }
}

/* Older breasts are less dense, every one as it is. */
static double usual_density(const phantom_patient *p, fl_rng *rng)
{
    double mean = 0.45 - 0.25 * (p->age - 50) / 40;
    return fmin(fmax(mean + 0.2 * fl_rng_normal(rng), 0.02), 0.92);
}

static void draw_woman(phantom_patient *p, const phantom_population *population, fl_rng *rng)
{
    phantom_population women = *population;
    women.female = 1;
    phantom_draw_patient(p, &women, rng);
}

static void render_mass(phantom_case *out, double difficulty, const phantom_population *population,
                        fl_rng *rng)
{
    breast b;
    draw_woman(&out->patient, population, rng);
    draw_breast(&b, &out->patient, usual_density(&out->patient, rng), rng);
    if (out->patient.code == 1) {
        add_mass(&b, &out->patient.conspicuity[0], difficulty, rng);
    }
    expose(out, &b, false, rng);
}

static void render_calcification(phantom_case *out, double difficulty,
                                 const phantom_population *population, fl_rng *rng)
{
    breast b;
    draw_woman(&out->patient, population, rng);
    draw_breast(&b, &out->patient, usual_density(&out->patient, rng), rng);
    if (out->patient.code == 1) {
        add_cluster(&b, &out->patient.conspicuity[0], difficulty, rng);
    }
    expose(out, &b, false, rng);
}

/* a, b with the prevalence's rest, c, d with it; half each.  More difficulty, more
 * breasts at the border of two classes. */
static void render_density(phantom_case *out, double difficulty,
                           const phantom_population *population, fl_rng *rng)
{
    static const double middle[N_DENSITIES] = {0.08, 0.32, 0.56, 0.82};
    breast b;
    draw_woman(&out->patient, population, rng);
    out->patient.code = 2 * out->patient.code + (fl_rng_uniform(rng) < 0.5);
    double dense = middle[out->patient.code] + (0.05 + 0.12 * difficulty) * fl_rng_normal(rng);
    draw_breast(&b, &out->patient, fmin(fmax(dense, 0.01), 0.95), rng);
    expose(out, &b, true, rng);
}

static const char source[] = "projection of fat and gland, Beer-Lambert display";

const phantom_ops phantom_mammography_density = {
    .name = "mammography",
    .task = "density",
    .help = "mammogram; density from a, almost all fat, to d, extremely dense",
    .source = source,
    .classes = {"a", "b", "c", "d", NULL},
    .structure = "gland",
    .mask_everybody = true,
    .n_channels = 1,
    .difficulty = 0.5,
    .confused = {1, 2, 1, 2},
    .render = render_density,
};

const phantom_ops phantom_mammography_mass = {
    .name = "mammography",
    .task = "mass",
    .help = "mammogram; spiculated mass or none",
    .source = source,
    .classes = {"normal", "mass", NULL},
    .structure = "mass",
    .n_channels = 1,
    .difficulty = 0.1,
    .confused = {-1, -1},
    .render = render_mass,
};

const phantom_ops phantom_mammography_calcification = {
    .name = "mammography",
    .task = "calcification",
    .help = "mammogram; cluster of microcalcifications or none",
    .source = source,
    .classes = {"normal", "calcification", NULL},
    .structure = "cluster",
    .n_channels = 1,
    .difficulty = 0.2,
    .confused = {-1, -1},
    .render = render_calcification,
};
